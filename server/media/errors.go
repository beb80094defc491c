package media

import (
	"context"
	"crypto/tls"
	"errors"
	"strconv"
	"syscall"
)

// Kind says why there is no file.
type Kind string

// The kinds of errors.
const (
	// NotAllowed: the policy does not allow the address: its scheme, host, port or form.
	NotAllowed Kind = "NotAllowed"
	// PrivateAddress: the host has an address that is not public.
	PrivateAddress Kind = "PrivateAddress"
	// TooManyRedirects: the address leads on and on.
	TooManyRedirects Kind = "TooManyRedirects"
	// TooLarge: the file is larger than was asked for.
	TooLarge Kind = "TooLarge"
	// WrongType: the file's content is of none of the types that were asked for.
	WrongType Kind = "WrongType"
	// BadAnswer: there is no file: a status other than 200, or nothing.
	BadAnswer Kind = "BadAnswer"
	// TimedOut: it took too long.
	TimedOut Kind = "TimedOut"
	// Unreachable: no connection could be made, or it broke.
	Unreachable Kind = "Unreachable"
	// Canceled: the caller's context ended. errors.Is finds its error.
	Canceled Kind = "Canceled"
)

// Error is what every method of Fetcher returns when it fails. Its text is safe to log.
type Error struct {
	Kind Kind
	// Status is the HTTP status where it was not 200, else 0.
	Status int

	cause error
}

// Error gives the kind, the status, and what the system said.
func (e *Error) Error() string {
	text := "media: " + string(e.Kind)
	if e.Status != 0 {
		text += ", status " + strconv.Itoa(e.Status)
	}
	if number, ok := errors.AsType[syscall.Errno](e.cause); ok {
		text += ": " + number.Error()
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](e.cause); ok {
		text += ": the certificate is not trusted"
	}
	return text
}

// Unwrap gives the cause, for errors.Is. Its text may hold the address: not for logs.
func (e *Error) Unwrap() error { return e.cause }

// KindOf returns the kind of an error of this package, "" for any other and for nil.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return ""
}

var errTimeout = errors.New("it took too long")

// failed makes the error of a transfer that failed. bounded is the transfer's context, ctx the caller's.
func failed(ctx, bounded context.Context, err error) *Error {
	if own, ok := errors.AsType[*Error](err); ok {
		return own
	}
	switch {
	case ctx.Err() != nil:
		return &Error{Kind: Canceled, cause: context.Cause(ctx)}
	case bounded.Err() != nil, isTimeout(err):
		return &Error{Kind: TimedOut, cause: err}
	default:
		return &Error{Kind: Unreachable, cause: err}
	}
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	return ok && timeout.Timeout()
}
