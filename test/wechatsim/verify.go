package wechatsim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// WrongEcho is the verdict of VerifyURL on a body that is not the echostr.
const WrongEcho Verdict = "wrong echo"

// VerifyError is why the console would refuse the URL.
type VerifyError struct {
	// Verdict is one of the failures of a Delivery, or WrongEcho.
	Verdict Verdict
	// Status is the HTTP status; 0 if none came.
	Status int
	// Surrounded says of a WrongEcho that the echo is there with something around it: quotes, a byte order mark, an end of line.
	Surrounded bool
	// Err is why no answer came; nil when one did.
	Err error
}

// Error says what happened. It shows neither the signed URL nor the body.
func (e *VerifyError) Error() string {
	switch {
	case e.Err != nil:
		return fmt.Sprintf("verifying the URL: %s: %v", e.Verdict, e.Err)
	case e.Surrounded:
		return fmt.Sprintf("verifying the URL: %s: there are other bytes around it", e.Verdict)
	default:
		return fmt.Sprintf("verifying the URL: %s", e.Verdict)
	}
}

// Unwrap gives Err.
func (e *VerifyError) Unwrap() error { return e.Err }

// VerifyURL does what the console does when its form is submitted: a signed GET whose echostr must come back, exactly, with status 200. The
// echostr is never encrypted, in any mode. The error is a *VerifyError, or ctx's own.
func (p *Platform) VerifyURL(ctx context.Context) error {
	d := Delivery{N: 1, Start: time.Now()}
	budget, cancel := context.WithTimeout(ctx, p.options.Timeout)
	defer cancel()
	echo := strconv.FormatInt(p.nextMsgID(d.Start), 10)
	r := p.newRequest(budget, http.MethodGet, p.query(strconv.FormatInt(d.Start.Unix(), 10), newNonce())+"&echostr="+echo)
	body, err := p.roundTrip(r, &d)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("verifying the URL: %w", ctx.Err())
	case err != nil:
		return &VerifyError{Verdict: failure(budget, err), Status: d.Status, Err: err}
	case d.Status != http.StatusOK:
		return &VerifyError{Verdict: statusVerdict(d.Status), Status: d.Status}
	case string(body) != echo:
		return &VerifyError{Verdict: WrongEcho, Status: d.Status, Surrounded: bytes.Contains(body, []byte(echo))}
	}
	return nil
}

// AsVerifyError gives the VerifyError that err is or wraps.
func AsVerifyError(err error) (*VerifyError, bool) { return errors.AsType[*VerifyError](err) }
