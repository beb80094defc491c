package observe

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/wechatbot/wechatbot-operator/api/serverstatus"
)

const (
	statusConnect = 2 * time.Second // for a connection to a server
	statusTime    = 4 * time.Second // for the whole call
	statusLimit   = 64 << 10        // bytes of an answer
)

// newStatusClient makes the client that asks servers. Between two polls of a bot a connection would be of no use.
func newStatusClient(dial func(context.Context, string, string) (net.Conn, error)) *http.Client {
	if dial == nil {
		dial = (&net.Dialer{Timeout: statusConnect}).DialContext
	}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: dial, DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: 16 << 10,
		}, // without a proxy: a pod is reached directly or not at all
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// askServer asks one server how it is. address is host:port.
func askServer(ctx context.Context, client *http.Client, address string) (status serverstatus.Status, failure StatusFailure) {
	ctx, cancel := context.WithTimeout(ctx, statusTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/status", http.NoBody)
	if err != nil {
		return status, StatusNoConnection
	}
	r.Header.Set("User-Agent", "wechatbot-operator")
	response, err := client.Do(r)
	if err != nil {
		return status, failureOf(err)
	}
	defer func() { _ = response.Body.Close() }() // nothing is written
	body, err := io.ReadAll(io.LimitReader(response.Body, statusLimit+1))
	switch {
	case err != nil:
		return status, failureOf(err)
	case response.StatusCode == http.StatusNotFound:
		return status, StatusNotServed
	case response.StatusCode != http.StatusOK || len(body) > statusLimit:
		return status, StatusUnreadable
	}
	if json.Unmarshal(body, &status) != nil || status.APIVersion != serverstatus.APIVersion {
		return serverstatus.Status{}, StatusUnreadable
	}
	return status, ""
}

func failureOf(err error) StatusFailure {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return StatusRefused
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return StatusNoConnection
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return StatusNoAnswer
	}
	return StatusUnreadable
}
