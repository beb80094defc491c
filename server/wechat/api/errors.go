package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
)

// Kind says what went wrong, in terms of what can be done about it.
type Kind string

// The kinds of errors. Those of the account and its configuration come first: they need a person, and repeating the call is of no use.
const (
	// AppIDRejected: WeChat knows no account with this AppID.
	AppIDRejected Kind = "AppIDRejected"
	// SecretRejected: the AppSecret is not this account's, or no longer.
	SecretRejected Kind = "SecretRejected"
	// SecretFrozen: the AppSecret was frozen in the console; thawing takes WeChat about ten minutes.
	SecretFrozen Kind = "SecretFrozen"
	// IPNotListed: the address we call from is not on the account's IP list, or an administrator has yet to confirm it.
	// Error.Address is the one that WeChat saw.
	IPNotListed Kind = "IPNotListed"
	// NotEntitled: this kind of account may not make this call. What needs it has to do without.
	NotEntitled Kind = "NotEntitled"
	// AccountBlocked: WeChat has banned the account from this call, or limited the account.
	AccountBlocked Kind = "AccountBlocked"
	// QuotaExhausted: the calls of the day are used up; they come back at 00:00 in Beijing.
	QuotaExhausted Kind = "QuotaExhausted"
	// TooOften: the calls of the minute are used up.
	TooOften Kind = "TooOften"
	// TokenExpired: WeChat takes the access token for expired or unknown, and also the one that was fetched after it.
	TokenExpired Kind = "TokenExpired"

	// WindowClosed: the follower has done nothing for too long that opens a window for sends, or has left the account.
	WindowClosed Kind = "WindowClosed"
	// CountUsedUp: what may be sent in answer to the follower's last doing is used up.
	CountUsedUp Kind = "CountUsedUp"
	// NotReceiving: this follower gets nothing from the account: has left it, refuses its messages, is blacklisted, or is none.
	NotReceiving Kind = "NotReceiving"
	// ContentRefused: WeChat refuses the content, such as to protect minors. It stays refused.
	ContentRefused Kind = "ContentRefused"
	// TooLarge: a text, title or file is larger than WeChat takes.
	TooLarge Kind = "TooLarge"
	// NoRecentExchange: typing is shown only within 30 s of an exchange. Nothing has to be done.
	NoRecentExchange Kind = "NoRecentExchange"
	// AlreadyTyping: typing is being shown. Nothing has to be done.
	AlreadyTyping Kind = "AlreadyTyping"

	// MediaGone: the media id has expired after its three days, or is not this account's.
	MediaGone Kind = "MediaGone"
	// MediaRefused: WeChat does not take this kind or format of file.
	MediaRefused Kind = "MediaRefused"
	// MenuRefused: something in the menu is not allowed; the code says what.
	MenuRefused Kind = "MenuRefused"
	// NoMenu: the account has no menu that was made by this API.
	NoMenu Kind = "NoMenu"
	// AgentsUnavailable: the account's console has customer service (客服功能) switched off.
	AgentsUnavailable Kind = "AgentsUnavailable"
	// NoAgent: the agent is unknown, not bound, offline, or another one serves the follower.
	NoAgent Kind = "NoAgent"
	// NoCallback: the account's console has no URL for pushes.
	NoCallback Kind = "NoCallback"

	// Busy: WeChat asks to try again later.
	Busy Kind = "Busy"
	// Unreachable: no connection could be made, or it broke.
	Unreachable Kind = "Unreachable"
	// BadAnswer: what answered does not speak as WeChat does: a status other than 200, HTML, an empty body.
	BadAnswer Kind = "BadAnswer"
	// UnknownDelivery: the message went out and nothing says what became of it. WeChat has no receipts and takes no idempotency key:
	// it must not be sent again, or the follower may get it twice.
	UnknownDelivery Kind = "UnknownDelivery"
	// Invalid: the call is wrong in a way that its caller could have known. A bug of ours.
	Invalid Kind = "Invalid"
	// Refused: WeChat refuses with a code that has no kind of its own.
	Refused Kind = "Refused"
	// Canceled: the caller's context ended. errors.Is finds its error.
	Canceled Kind = "Canceled"
)

// Error is what every method of Client returns when it fails. Its text is safe to log.
type Error struct {
	// API is the path of the call that failed: the one that was made, or the token's.
	API  string
	Kind Kind
	// Code is WeChat's errcode, 0 if none came.
	Code int
	// Status is the HTTP status where it was not 200, else 0.
	Status int
	// Address is where WeChat saw the call come from, of IPNotListed; the zero Addr if it did not say.
	Address netip.Addr
	// RID is WeChat's id of the request, for /cgi-bin/openapi/rid/get within 7 days; empty if it gave none.
	RID string

	cause error
}

// Error gives the call, what is wrong, and of a connection that could not be made the reason.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("wechat: " + e.API + ": " + string(e.Kind))
	if e.Code != 0 {
		b.WriteString(", errcode " + strconv.Itoa(e.Code))
	}
	if e.Status != 0 {
		b.WriteString(", status " + strconv.Itoa(e.Status))
	}
	if e.Address.IsValid() {
		b.WriteString(", address " + e.Address.String())
	}
	if e.RID != "" {
		b.WriteString(", rid " + e.RID)
	}
	if reason := reasonOf(e.cause); reason != "" {
		b.WriteString(": " + reason)
	}
	return b.String()
}

// Unwrap gives the cause, for errors.Is. Its text may hold what a server sent: not for logs.
func (e *Error) Unwrap() error { return e.cause }

// KindOf returns the kind of an error of this package, "" for any other and for nil.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return ""
}

// reasonError is a cause in words of our own.
type reasonError string

func (e reasonError) Error() string { return string(e) }

// reasonOf gives a cause's text if it can only hold host names, addresses and words of the system. Errors of proxies quote their
// passwords, and a RoundTripper may quote the URL, which holds the token.
func reasonOf(err error) string {
	if own, ok := errors.AsType[reasonError](err); ok {
		return string(own)
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, syscall.ETIMEDOUT) {
		return "it took too long"
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return dns.Error()
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		if _, ok := errors.AsType[syscall.Errno](op.Err); ok {
			return op.Error()
		}
	}
	if certificate, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return certificate.Error()
	}
	if host, ok := errors.AsType[x509.HostnameError](err); ok {
		return host.Error()
	}
	return ""
}
