package difysim

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestTransportHonoursCancellation(t *testing.T) {
	for name, tc := range map[string]struct {
		behaviour Behaviour
		answered  bool // the cancellation comes after the headers
	}{
		"before the headers": {Behaviour{Fault: Fault{Kind: SlowHeaders}}, false},
		"within the body":    {Behaviour{Total: time.Hour}, true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := newClient(t, Options{Behaviour: tc.behaviour})
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				start := time.Now()
				response, err := c.server.Transport().RoundTrip(c.request(ctx, "POST", "/v1/chat-messages", question("你好")))
				if (err == nil) != tc.answered {
					t.Fatalf("round trip: %v", err)
				}
				if err == nil {
					_, err = io.ReadAll(response.Body)
					_ = response.Body.Close()
				}
				if !errors.Is(err, context.DeadlineExceeded) || since(start) != time.Minute {
					t.Errorf("%v after %v", err, since(start))
				}
				if err := c.server.WaitRunning(t.Context(), 0); err != nil {
					t.Fatal(err)
				}
				if call := c.server.Calls()[0]; call.Outcome != Lost || !call.ClientGone {
					t.Errorf("call %+v", call)
				}
			})
		})
	}
}

func TestTransportsResponseIsComplete(t *testing.T) {
	c := newClient(t, Options{})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://dify.test/v1/info", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Body = nil
	request.Header.Set("Authorization", "Bearer app-1")
	response, err := c.server.Transport().RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer closeBody(t, response)
	if response.Status != "200 OK" || response.Request != request || response.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%+v", response)
	}
}

// BenchmarkStream measures what one undelayed answer of 300 characters costs, with its client.
func BenchmarkStream(b *testing.B) {
	for _, mode := range []Mode{Chat, Chatflow} {
		b.Run(mode.String(), func(b *testing.B) {
			s := New(Options{Mode: mode, Behaviour: Behaviour{Length: 300}})
			defer s.Close()
			http := &http.Client{Transport: s.Transport()}
			c := &client{nil, s, http, "http://dify.test"}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					if err := c.discard(b.Context(), question("问"+strconv.Itoa(i))); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// BenchmarkParallelStreams measures 2,000 streams of one second at a time.
func BenchmarkParallelStreams(b *testing.B) {
	s := New(Options{Mode: Chatflow, Behaviour: Behaviour{Length: 300, Total: time.Second}})
	defer s.Close()
	c := &client{nil, s, &http.Client{Transport: s.Transport()}, "http://dify.test"}
	b.ReportAllocs()
	for b.Loop() {
		errs := make(chan error, 2000)
		for range cap(errs) {
			go func() { errs <- c.discard(b.Context(), question("你好")) }()
		}
		for range cap(errs) {
			if err := <-errs; err != nil {
				b.Fatal(err)
			}
		}
	}
}

// discard asks and reads the stream away.
func (c *client) discard(ctx context.Context, body string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/v1/chat-messages", strings.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer app-1")
	request.Header.Set("Content-Type", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, response.Body)
	return errors.Join(err, response.Body.Close())
}
