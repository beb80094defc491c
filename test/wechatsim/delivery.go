package wechatsim

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// Verdict is what the platform makes of one delivery. Besides the constants there are "HTTP status …" for any status but 200 and
// "illegal reply: …" for a body that WeChat would not show (its 回应失败 alarm). A verdict holds nothing of any message.
type Verdict string

const (
	// Answered is a legal reply.
	Answered Verdict = "answered"
	// Acknowledged is "success" or an empty body: no reply, no retry.
	Acknowledged Verdict = "success"
	// Timeout is no complete answer within the budget (请求超时, 连接超时, DNS超时).
	Timeout Verdict = "timeout"
	// Refused is a closed port.
	Refused Verdict = "connection refused"
	// Broken is a connection that ended before the answer did.
	Broken Verdict = "connection broken"
	// Unresolved is a host name without an address (DNS失败).
	Unresolved Verdict = "DNS failure"
	// TLSFailed is a handshake that failed, or a certificate that is not trusted.
	TLSFailed Verdict = "TLS failure"
	// Unreachable is any other failure to connect.
	Unreachable Verdict = "unreachable"
)

const illegalPrefix = "illegal reply: "

// Illegal says whether the answer came in time and was refused for its content.
func (v Verdict) Illegal() bool { return strings.HasPrefix(string(v), illegalPrefix) }

// Failed says whether WeChat counts the delivery as a failure.
func (v Verdict) Failed() bool { return v != Answered && v != Acknowledged }

// Delivery is one push of a message.
type Delivery struct {
	// N counts a message's deliveries from 1.
	N int
	// Start is when it was sent: the timestamp of its URL, to the second.
	Start time.Time
	// Took is the time to the answer's last byte, or to the failure.
	Took time.Duration
	// Status is the HTTP status; 0 if none came.
	Status int
	// Bytes is the length of the answer's body, as far as it was read.
	Bytes int
	// Encrypted says whether the reply came in an encrypted envelope.
	Encrypted bool
	// TLS is the version of the connection's TLS; empty without.
	TLS     string
	Verdict Verdict
	// Err is why no answer came; nil when one did.
	Err error
}

// maxReply bounds what is read of an answer. The largest legal reply, encrypted, is a tenth of it.
const maxReply = 64 << 10

// deliver makes delivery n of m. The error is the caller's own: ctx ended, or m does not fit the account's mode.
func (p *Platform) deliver(ctx context.Context, openid string, m push, n int) (Delivery, Reply, error) {
	d := Delivery{N: n, Start: time.Now()}
	budget, cancel := context.WithTimeout(ctx, p.options.Timeout)
	defer cancel()
	r, err := p.request(budget, openid, m.doc, d.Start)
	if err != nil {
		return d, Reply{}, err
	}
	p.observe(ctx, Event{Type: DeliveryStarted, OpenID: openid, Delivery: d})
	body, err := p.roundTrip(r, &d)
	if ctx.Err() != nil {
		return d, Reply{}, ctx.Err() //nolint:wrapcheck // the caller wraps it
	}
	if err != nil {
		d.Verdict, d.Err = failure(budget, err), err
		return d, Reply{}, nil
	}
	if d.Status != http.StatusOK {
		d.Verdict = statusVerdict(d.Status)
		return d, Reply{}, nil
	}
	reply, verdict, encrypted := p.judge(body, openid, m.repliable)
	d.Verdict, d.Encrypted = verdict, encrypted
	return d, reply, nil
}

func statusVerdict(status int) Verdict { return Verdict(fmt.Sprintf("HTTP status %d", status)) }

// roundTrip fills in what the answer shows of itself and gives its body, at most one byte more than maxReply.
func (p *Platform) roundTrip(r *http.Request, d *Delivery) ([]byte, error) {
	defer func() { d.Took = time.Since(d.Start) }()
	response, err := p.transport.RoundTrip(r)
	if err != nil {
		return nil, err //nolint:wrapcheck // an http.Client would add the signed URL
	}
	defer func() { _ = response.Body.Close() }()
	d.Status = response.StatusCode
	if response.TLS != nil {
		d.TLS = tls.VersionName(response.TLS.Version)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxReply+1))
	d.Bytes = len(body)
	return body, err //nolint:wrapcheck // as above
}

// failure classes the error of a delivery whose budget is given.
func failure(budget context.Context, err error) Verdict {
	if budget.Err() != nil || errors.Is(err, context.DeadlineExceeded) {
		return Timeout
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return Unresolved
	}
	if tlsFailure(err) {
		return TLSFailed
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return Broken
	default:
		return Unreachable
	}
}

func tlsFailure(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return true
	}
	// The peer's alerts have no exported type; the operation's name is what crypto/tls documents for them.
	operation, ok := errors.AsType[*net.OpError](err)
	return ok && (operation.Op == "remote error" || operation.Op == "local error")
}
