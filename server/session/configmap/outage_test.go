package configmap

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/session/configmap/kubeapi"
	"github.com/wechatbot/wechatbot-operator/server/session/follower"
	"github.com/wechatbot/wechatbot-operator/server/session/memory"
	"github.com/wechatbot/wechatbot-operator/server/session/sessiontest"
)

// throttled is a fault: the API server asks for patience.
func throttled(*http.Request, func() *http.Response) (*http.Response, error) {
	res := refuse(http.StatusTooManyRequests, "slow down")
	res.Header.Set("Retry-After", "4")
	return res, nil
}

// Without an API server no question is accepted, and each gets its refusal in time; what is there goes on.
func TestAPIServerIsAway(t *testing.T) {
	for name, fault := range map[string]fault{"unreachable": unreachable, "silent": silent, "deaf": deaf, "throttled": throttled} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAPI()
				s := on(t, a)
				running := begin(t, s, true, "alice", "1")
				time.Sleep(time.Second) // in a bubble
				a.breaks(fault)
				q := session.Question{Key: session.Key{Follower: "alice", ID: "2"}, Text: "question"}
				strict := limits
				strict.Questions, strict.Window = 3, time.Hour
				for range 3 {
					since := time.Now()
					b, err := s.Begin(t.Context(), q, true, strict)
					if err == nil || time.Since(since) > patience {
						t.Fatalf("Begin: %+v, %v after %v", b, err, time.Since(since))
					}
				}
				if got := look(t, s, "alice").Turns; len(got) != 1 {
					t.Errorf("a refused question has left a turn: %+v", got)
				}
				if err := s.Ping(t.Context()); err == nil {
					t.Error("ready without an API server")
				}
				finish(t, s, running, "answer")
				if turn, err := sessiontest.Await(t.Context(), s, running.Turn.Key, time.Hour); err != nil || turn.Answer.Markdown != "answer" {
					t.Errorf("Await: %+v, %v", turn, err)
				}
				if _, err := s.Open(t.Context(), session.Key{Follower: "alice", ID: "one"}); err != nil {
					t.Errorf("Open: %v", err)
				}
				if c, err := s.Clear(t.Context(), session.Key{Follower: "bob", ID: "clear"}); err != nil {
					t.Errorf("Clear: %q, %v", c, err)
				}
				a.breaks(nil)
				time.Sleep(time.Minute)
				if err := s.Ping(t.Context()); err != nil {
					t.Errorf("not ready again: %v", err)
				}
				// Nothing was taken from the allowance of three in vain, but for the one place that is used now.
				if b, err := s.Begin(t.Context(), q, true, strict); err != nil || b.Verdict != session.Started || b.Lease == nil {
					t.Errorf("Begin, when all is well again: %+v, %v", b, err)
				}
				q.Key.ID = "3"
				if b, err := s.Begin(t.Context(), q, true, strict); err != nil || b.Verdict != session.Started {
					t.Errorf("the next one: %+v, %v", b, err)
				}
				drop(s)
				if got := look(t, on(t, a), "alice").Turns; len(got) != 3 || got[0].Answer.Markdown != "answer" {
					t.Errorf("turns %+v", got)
				}
			})
		})
	}
}

// A process that starts before its ConfigMaps are there, or before it may read them, says so, and is ready when they
// are.
func TestStartsBeforeTheConfigMaps(t *testing.T) {
	forbidden := func(_ *http.Request, _ func() *http.Response) (*http.Response, error) {
		return refuse(http.StatusForbidden, `configmaps "s-0" is forbidden`), nil
	}
	tests := map[string]struct {
		fault fault
		say   string
		heal  func(a *api)
	}{
		"missing":     {nil, `reading ConfigMap bots/s-3: the API server answers 404: configmaps "s-3" not found`, func(a *api) { a.create("s-3") }},
		"forbidden":   {forbidden, `answers 403: configmaps "s-0" is forbidden`, func(a *api) { a.breaks(nil) }},
		"unreachable": {unreachable, "connection refused", func(a *api) { a.breaks(nil) }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAPI()
				a.breaks(tt.fault)
				a.remove("s-3")
				if tt.fault != nil {
					a.create("s-3")
				}
				s := on(t, a)
				if err := s.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), tt.say) {
					t.Errorf("Ping: %v, want it to say %q", err, tt.say)
				}
				since := time.Now()
				if _, err := s.Get(t.Context(), "alice"); err == nil || !strings.Contains(err.Error(), tt.say) || time.Since(since) > patience {
					t.Errorf("Look: %v after %v", err, time.Since(since))
				}
				if err := s.Ping(ended()); err == nil {
					t.Error("Ping found the sessions")
				}
				next := make(chan error)
				go func() {
					_, err := s.Next(t.Context(), limits)
					next <- err
				}()
				time.Sleep(time.Minute) // Next waits for as long as it takes
				tt.heal(a)
				time.Sleep(longestPause)
				if err := s.Ping(t.Context()); err != nil {
					t.Error(err)
				}
				begin(t, s, false, "alice", "1")
				if err := <-next; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// What the store has not written itself, or cannot read, it does not touch.
func TestRefusesWhatItCannotRead(t *testing.T) {
	name, key := "s-0", blockKey(0)
	pack := func(text string) []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	whole := func(block []byte) func(*kubeapi.ConfigMap) {
		return func(c *kubeapi.ConfigMap) { c.BinaryData = map[string][]byte{key: block} }
	}
	owned := func(value string) func(*kubeapi.ConfigMap) {
		return func(c *kubeapi.ConfigMap) { c.Metadata.Annotations[ownerAnnotation] = value }
	}
	here := followerIn(0)
	record := func(fields string) string {
		return `{"follower":"` + here + `","record":{"v":1,"active":946684800000000` + fields + `}}`
	}
	tests := map[string]struct {
		damage func(*kubeapi.ConfigMap)
		say    string
	}{
		"cut off": {func(c *kubeapi.ConfigMap) {
			for k, block := range c.BinaryData {
				c.BinaryData[k] = block[:len(block)-5]
			}
		}, "is damaged: reading a follower"},
		"flipped bit": {func(c *kubeapi.ConfigMap) {
			for k, block := range c.BinaryData {
				block = bytes.Clone(block)
				block[len(block)-6] ^= 4
				c.BinaryData[k] = block
			}
		}, "is damaged: reading a follower: gzip: invalid checksum"},
		"no gzip":             {whole([]byte("hello")), "is damaged: unpacking"},
		"no JSON":             {whole(pack("hello")), "is damaged: reading a follower"},
		"another's follower":  {whole(pack(`{"follower":"` + followerIn(1) + `"}`)), "a follower who does not belong there"},
		"no record":           {whole(pack(`{"follower":"` + here + `"}`)), "without a name or a record"},
		"follower twice":      {whole(pack(record("") + record(""))), "they have a follower twice"},
		"turn twice":          {whole(pack(record(`,"turns":[{"id":"1","state":1},{"id":"1","state":1}]`))), "a turn with an ID of 1 bytes"},
		"state out of range":  {whole(pack(record(`,"turns":[{"id":"1","state":9}]`))), "and state 9"},
		"message of no kind":  {whole(pack(record(`,"messages":[{"id":"1","kind":9}]`))), "and kind 9"},
		"a lease on nothing":  {whole(pack(record(`,"lease":{"turn":"1"}`))), "a lease on no turn"},
		"a record of later":   {whole(pack(`{"follower":"` + here + `","record":{"v":99,"active":946684800000000}}`)), "it has format 99"},
		"foreign key":         {func(c *kubeapi.ConfigMap) { c.BinaryData["records-99"] = nil }, `it has a key "records-99"`},
		"padded key":          {func(c *kubeapi.ConfigMap) { c.BinaryData["records-+1"] = nil }, `it has a key "records-+1"`},
		"foreign data":        {func(c *kubeapi.ConfigMap) { c.Data = map[string]string{"a": "b"} }, "it has data"},
		"foreign object":      {func(c *kubeapi.ConfigMap) { c.Metadata.Annotations = nil; c.Data = map[string]string{"a": "b"} }, "it has content, but no annotation"},
		"annotation is gone":  {func(c *kubeapi.ConfigMap) { c.Metadata.Annotations = nil }, "it has content, but no annotation"},
		"annotation unread":   {owned("me"), "annotation wechatbot.dev/sessions-owner cannot be read"},
		"a later format":      {owned(`{"format":3}`), "it is stored in format 3, this server knows formats up to 2"},
		"another shard":       {owned(`{"format":2,"shard":7,"generation":1,"identity":"x"}`), "it is a copy of number 7"},
		"nobody's annotation": {owned(`{"format":2,"shard":0}`), "names no owner"},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAPI()
				s := on(t, a)
				finish(t, s, begin(t, s, true, here, "1"), strings.Repeat("answer", 10))
				closeStore(t, s)
				a.change(name, func(c *kubeapi.ConfigMap) { tt.damage(c) })
				before := a.copies()[name]

				s = on(t, a)
				err := s.Ping(t.Context())
				if err == nil || !strings.Contains(err.Error(), tt.say) || strings.Contains(err.Error(), here) {
					t.Errorf("Ping: %v, want it to say %q", err, tt.say)
				}
				if _, err := s.Begin(t.Context(), session.Question{Key: session.Key{Follower: here, ID: "2"}}, false, limits); err == nil {
					t.Error("begun in what cannot be read")
				}
				after := a.copies()[name]
				before.Metadata.ResourceVersion = after.Metadata.ResourceVersion
				if diff := cmp.Diff(before, after); diff != "" {
					t.Errorf("it was touched:\n%s", diff)
				}
				a.create(name) // somebody has emptied it
				time.Sleep(longestPause)
				begin(t, s, false, here, "2")
			})
		})
	}
}

// followerIn is a follower whose sessions are in the given part.
func followerIn(part int) string {
	for n := 0; ; n++ {
		if name := "follower" + strings.Repeat("x", n%97) + string(rune('a'+n%26)) + strings.Repeat("y", n/97); partOf(name) == part {
			return name
		}
	}
}

func TestCloseSaysWhatIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		s := on(t, a)
		finish(t, s, begin(t, s, true, "alice", "1"), "answer")
		a.breaks(unreachable)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := s.Close(ctx); err == nil || !strings.Contains(err.Error(), "not all could be written") || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close: %v", err)
		}
		if _, err := s.Get(t.Context(), "alice"); !errors.Is(err, session.ErrClosed) {
			t.Errorf("Look after Close: %v", err)
		}
	})
}

// Close waits for an API server that comes back in time.
func TestCloseTriesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		s := on(t, a)
		finish(t, s, begin(t, s, true, "alice", "1"), "answer")
		a.breaks(unreachable)
		time.AfterFunc(10*time.Second, func() { a.breaks(nil) })
		closeStore(t, s)
		if got := look(t, on(t, a), "alice").Turns; got[0].Answer.Markdown != "answer" {
			t.Errorf("turns %+v", got)
		}
	})
}

func TestCloseBeforeTheSessionsAreLoaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		a.breaks(unreachable)
		s := on(t, a)
		waiting := make(chan error)
		go func() {
			_, err := s.Get(t.Context(), "alice")
			waiting <- err
		}()
		synctest.Wait()
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-waiting; !errors.Is(err, session.ErrClosed) {
			t.Errorf("a call that waited: %v", err)
		}
		if err := s.Ping(t.Context()); !errors.Is(err, session.ErrClosed) {
			t.Errorf("Ping: %v", err)
		}
	})
}

func TestNewRefusesBadOptions(t *testing.T) {
	good := Options{API: newAPI().client(), Namespace: "n", Name: "s", Identity: "pod", Log: discard()}
	tests := map[string]struct {
		change func(*Options, *session.Options)
		say    string
	}{
		"no API":       {func(o *Options, _ *session.Options) { o.API = nil }, "API and log are required"},
		"no log":       {func(o *Options, _ *session.Options) { o.Log = nil }, "API and log are required"},
		"no namespace": {func(o *Options, _ *session.Options) { o.Namespace = "" }, "namespace, name and identity"},
		"no name":      {func(o *Options, _ *session.Options) { o.Name = "" }, "namespace, name and identity"},
		"no identity":  {func(o *Options, _ *session.Options) { o.Identity = "" }, "namespace, name and identity"},
		"no history":   {func(_ *Options, s *session.Options) { s.History = 0 }, "must be positive"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			o, s := good, sessionOptions()
			tt.change(&o, &s)
			if _, err := New(o, s); err == nil || !strings.Contains(err.Error(), tt.say) {
				t.Errorf("New: %v, want it to say %q", err, tt.say)
			}
		})
	}
}

// A block goes round; the empty one is none.
func TestBlockGoesRound(t *testing.T) {
	if block, err := encode(nil); block != nil || err != nil {
		t.Errorf("no followers: %v, %v", block, err)
	}
	records := []memory.Copy{
		{Follower: followerIn(3), Record: &follower.Record{Format: 1, Conversation: "<c>&\u2028", Active: 1}},
		{Follower: followerIn(3), Record: &follower.Record{Format: 1, Active: 2}, Texts: map[string]follower.Texts{"1": {Question: "q"}}},
	}
	block, err := encode(records)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decode(block, 3, maxBlock, nil)
	if diff := cmp.Diff(records, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	for _, limit := range []int64{1, 30, 100} {
		if got, err := decode(block, 3, limit, nil); err == nil {
			t.Errorf("unpacked to more than %d bytes: %v", limit, got)
		}
	}
}
