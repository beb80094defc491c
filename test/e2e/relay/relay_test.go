package relay

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// relayed is both sides, and the address that a pod would have.
func relayed(t *testing.T, h http.Handler) (address string, stop func()) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	toPod, fromTest := io.Pipe()
	toTest, fromPod := io.Pipe()
	var both sync.WaitGroup
	both.Go(func() {
		if err := Serve(context.WithoutCancel(t.Context()), l, toPod, fromPod); err != nil {
			t.Errorf("the pod's side ended with %v", err)
		}
		_ = fromPod.Close()
	})
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Second}
	both.Go(func() { _ = server.Serve(Listen(toTest, fromTest)) })
	return l.Addr().String(), func() {
		_ = fromTest.Close() // as kubectl's standard input
		both.Wait()
		_ = server.Close()
	}
}

func TestRelay_ManyRequestsAtATime(t *testing.T) {
	address, stop := relayed(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(body)
	}))
	transport := &http.Transport{}
	client := &http.Client{Transport: transport}
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for n := range 8 {
				body := bytes.Repeat([]byte{byte(i)}, 1+n*20_000)
				request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, fmt.Sprintf("http://%s/%d", address, i), bytes.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				response, err := client.Do(request)
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(response.Body)
				_ = response.Body.Close()
				if err != nil || !bytes.Equal(got, body) {
					t.Errorf("request %d of %d: %d bytes, %v; want %d", n, i, len(got), err, len(body))
				}
			}
		})
	}
	all.Wait()
	transport.CloseIdleConnections()
	stop()
}

// A connection that either side closes is closed on the other, and both end with the command's standard input.
func TestRelay_Ends(t *testing.T) {
	hung := make(chan struct{})
	gone := make(chan struct{})
	address, stop := relayed(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/abort" {
			panic(http.ErrAbortHandler)
		}
		close(hung)
		<-r.Context().Done()
		close(gone)
	}))
	dial := func(path string) net.Conn {
		t.Helper()
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path); err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := dial("/abort")
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("a connection that the server has closed gives %d bytes, %v", n, err)
	}
	_ = c.Close()
	c = dial("/hang")
	<-hung
	_ = c.Close()
	<-gone
	stop()
	if _, err := new(net.Dialer).DialContext(t.Context(), "tcp", address); err == nil {
		t.Error("the pod still listens")
	}
}
