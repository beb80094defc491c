package dify_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/dify"
)

// step is what a server sends after a pause.
type step struct {
	after time.Duration
	send  string
}

// paced is a transport whose stream follows a schedule, then stays open until the request ends.
func paced(steps []step) roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		out, in := io.Pipe()
		go func() {
			for _, s := range steps {
				select {
				case <-time.After(s.after):
				case <-r.Context().Done():
				}
				if _, err := io.WriteString(in, s.send); err != nil {
					break
				}
			}
			<-r.Context().Done()
			_ = in.CloseWithError(r.Context().Err())
		}()
		return response(http.StatusOK, "text/event-stream", out), nil
	}
}

func TestChatWatchesForSilence(t *testing.T) {
	const first, idle, grace = 40 * time.Second, 20 * time.Second, 2500 * time.Millisecond
	ping, delta := "event: ping\n\n", ev("message", `,"answer":"字"`)
	finished := ev("workflow_finished", `,"data":{"status":"succeeded"}`)
	pings := make([]step, 30)
	for i := range pings {
		pings[i] = step{10 * time.Second, ping}
	}
	for name, c := range map[string]struct {
		steps []step
		total time.Duration // of the caller's context, 0 for none
		text  string
		kind  dify.Kind
		took  time.Duration
		drop  bool
	}{
		"not a byte":                    {kind: dify.FirstEventTimeout, took: first},
		"one ping, then silence":        {steps: []step{{0, ping}}, kind: dify.FirstEventTimeout, took: first, drop: true},
		"pings are no event":            {steps: pings, kind: dify.FirstEventTimeout, took: first},
		"foreign data is no event":      {steps: []step{{0, "data: x\n\n"}, {30 * time.Second, "data: {}\n\n"}}, kind: dify.FirstEventTimeout, took: first},
		"half an event is none":         {steps: []step{{0, delta[:30]}}, kind: dify.FirstEventTimeout, took: first},
		"silence after text":            {steps: []step{{30 * time.Second, delta}}, text: "字", kind: dify.IdleTimeout, took: 30*time.Second + idle},
		"pings after text are no event": {steps: append([]step{{0, delta}}, pings...), text: "字", kind: dify.IdleTimeout, took: idle},
		"nodes are events": {
			steps: []step{{0, delta}, {15 * time.Second, ev("node_started", "")}, {15 * time.Second, ev("node_finished", "")}, {15 * time.Second, delta}},
			text:  "字字", kind: dify.IdleTimeout, took: 45*time.Second + idle,
		},
		"a slow answer that goes on": {
			steps: []step{{39 * time.Second, delta}, {19 * time.Second, delta}, {19 * time.Second, delta + ev("message_end", "")}},
			text:  "字字字", took: 77 * time.Second,
		},
		"workflow_finished, then nothing (1.13.0)": {steps: []step{{0, delta + finished}}, text: "字", took: grace},
		"paused, then nothing":                     {steps: []step{{0, delta + ev("workflow_paused", "")}}, text: "字", took: grace},
		"what follows workflow_finished in time": {
			steps: []step{{0, delta + finished}, {2 * time.Second, ev("message_replace", `,"answer":"别"`)}, {0, ev("message_end", "")}},
			text:  "别", took: 2 * time.Second,
		},
		"events do not prolong the grace": {
			steps: []step{{0, delta + finished}, {2 * time.Second, ev("node_finished", "")}, {2 * time.Second, ev("message_end", "")}},
			text:  "字", took: grace,
		},
		"an empty message_end of a chatflow waits for outputs": {
			steps: []step{{0, ev("workflow_started", "") + ev("message_end", "")}}, took: grace,
		},
		"an error ends at once": {
			steps: []step{{time.Second, ev("error", `,"code":"provider_quota_exceeded","status":400`)}}, kind: dify.QuotaExceeded, took: time.Second,
		},
		"a failed workflow ends at once": {
			steps: []step{{time.Second, ev("workflow_finished", `,"data":{"status":"failed"}`)}}, kind: dify.WorkflowFailed, took: time.Second,
		},
		"the caller's deadline": {steps: []step{{0, delta}}, total: 5 * time.Second, text: "字", kind: dify.Canceled, took: 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, err := dify.New(dify.Target{BaseURL: "http://x", Key: secret}, dify.Options{
					Transport: paced(c.steps), FirstEventTimeout: first, IdleTimeout: idle,
				})
				if err != nil {
					t.Fatal(err)
				}
				ctx := t.Context()
				if c.total > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.total)
					defer cancel()
				}
				q := ask()
				q.ConversationID = "c0"
				start := time.Now()
				a, err := client.Chat(ctx, q, nil)
				if a.Text != c.text || dify.KindOf(err) != c.kind || (err == nil) != (c.kind == "") {
					t.Errorf("text %q, error %v; want %q, kind %q", a.Text, err, c.text, c.kind)
				}
				if took := time.Since(start); took != c.took {
					t.Errorf("took %s, want %s", took, c.took)
				}
				if e, ok := errors.AsType[*dify.Error](err); ok && (e.DropConversation() != c.drop || e.MayRetry(0)) {
					t.Errorf("drop %t, retry %t; want %t, false", e.DropConversation(), e.MayRetry(0), c.drop)
				}
				if c.total > 0 && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v is no deadline", err)
				}
			})
		})
	}
}

func TestNoResponseInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, err := dify.New(dify.Target{BaseURL: "http://x", Key: secret}, dify.Options{
			Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		_, chat := client.Chat(t.Context(), ask(), nil)
		_, info := client.Info(t.Context())
		for op, err := range map[string]error{"chat": chat, "info": info} {
			if dify.KindOf(err) != dify.FirstEventTimeout {
				t.Errorf("%s: error %v", op, err)
			}
		}
	})
}

func TestABodyThatStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for contentType, kind := range map[string]dify.Kind{"application/json": dify.FirstEventTimeout} {
			client := clientOf(t, func(r *http.Request) (*http.Response, error) {
				out, in := io.Pipe()
				context.AfterFunc(r.Context(), func() { _ = in.CloseWithError(r.Context().Err()) })
				return response(http.StatusOK, contentType, io.MultiReader(strings.NewReader("{"), out)), nil
			})
			if _, err := client.Chat(t.Context(), ask(), nil); dify.KindOf(err) != kind {
				t.Errorf("chat: error %v", err)
			}
			if _, err := client.Info(t.Context()); dify.KindOf(err) != kind {
				t.Errorf("info: error %v", err)
			}
		}
	})
}
