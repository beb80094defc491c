package configmap

import (
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
	"github.com/wechatbot/wechatbot-operator/server/session/sessiontest"
)

// A process that still runs when the next one has started changes nothing any more, and is told so by every call.
func TestPredecessorIsSuperseded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		old := on(t, a)
		finish(t, old, begin(t, old, true, "alice", "1"), "the old one's answer")
		running := begin(t, old, true, "alice", "2")
		other := begin(t, old, true, "bob", "1").Turn.Key
		time.Sleep(time.Second) // in a bubble: all is written
		blocked := make(chan error, 2)
		go func() {
			_, err := sessiontest.Await(t.Context(), old, other, time.Hour)
			blocked <- err
		}()
		go func() {
			_, err := old.Next(t.Context(), limits)
			blocked <- err
		}()
		synctest.Wait()

		next := on(t, a)
		l, err := nextOf(next, t.Context(), limits)
		if err != nil || l.Turn.Key != running.Turn.Key {
			t.Fatalf("the next process' work: %+v, %v", l, err)
		}
		finish(t, next, l, "the next one's answer")
		time.Sleep(time.Second)
		before := a.copies()

		if err := old.Finish(t.Context(), running, session.Outcome{State: session.Answered, Answer: session.Answer{Markdown: "late"}}); err != nil {
			t.Fatalf("it cannot know yet: %v", err)
		}
		q := session.Question{Key: session.Key{Follower: "alice", ID: "3"}}
		if _, err := old.Begin(t.Context(), q, true, limits); !errors.Is(err, ErrSuperseded) {
			t.Errorf("Begin: %v", err)
		}
		for range 2 {
			if err := <-blocked; !errors.Is(err, ErrSuperseded) {
				t.Errorf("a call that waited: %v", err)
			}
		}
		wantSuperseded(t, old, running)
		if diff := cmp.Diff(before, a.copies()); diff != "" {
			t.Errorf("what the next process had written has changed:\n%s", diff)
		}
		if got := look(t, next, "alice").Turns; len(got) != 2 || got[1].Answer.Markdown != "the next one's answer" {
			t.Errorf("turns %+v", got)
		}
	})
}

func wantSuperseded(t *testing.T, s *Store, l *session.Lease) {
	t.Helper()
	ctx, k := t.Context(), session.Key{Follower: "bob", ID: "1"}
	for name, call := range map[string]func() error{
		"Begin":    func() error { _, err := s.Begin(ctx, session.Question{Key: k}, true, limits); return err },
		"Next":     func() error { _, err := s.Next(ctx, limits); return err },
		"Turn":     func() error { _, err := s.Turn(ctx, k); return err },
		"Open":     func() error { _, err := s.Open(ctx, k); return err },
		"Get":      func() error { _, err := s.Get(ctx, "bob"); return err },
		"Show":     func() error { return s.Show(ctx, "bob", session.Receipt{}) },
		"Cancel":   func() error { _, _, err := s.Cancel(ctx, k); return err },
		"Stop":     func() error { _, _, err := s.Stop(ctx, k, false); return err },
		"Clear":    func() error { _, err := s.Clear(ctx, k); return err },
		"Forget":   func() error { _, err := s.Forget(ctx, "bob"); return err },
		"TakeHold": func() error { _, err := s.TakeHold(ctx, 1); return err },
		"Ping":     func() error { return s.Ping(ctx) },
		"Close":    func() error { return s.Close(ctx) },
	} {
		if err := call(); !errors.Is(err, ErrSuperseded) && (name == "Close" || !errors.Is(err, session.ErrClosed)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, call := range map[string]func() error{
		"Progress": func() error { return s.Progress(ctx, l, session.Progress{}) },
		"Finish":   func() error { return s.Finish(ctx, l, session.Outcome{State: session.Answered}) },
		"Release":  func() error { return s.Release(ctx, l) },
	} {
		if err := call(); !errors.Is(err, session.ErrLeaseLost) && !errors.Is(err, session.ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An owner that only streams learns it from its lease, and the idle from Ping.
func TestPredecessorLearnsItWithoutWriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		old := on(t, a)
		l := begin(t, old, true, "alice", "1")
		time.Sleep(2 * contactAge)
		if err := old.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		next := on(t, a)
		if err := next.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := old.Ping(t.Context()); err != nil {
			t.Errorf("asked again, though the API server has just answered: %v", err)
		}
		time.Sleep(2 * contactAge)
		if err := old.Ping(t.Context()); !errors.Is(err, ErrSuperseded) {
			t.Errorf("Ping: %v", err)
		}
		select {
		case <-l.Lost:
		default:
			t.Error("the lease is not lost")
		}
		if err := old.Progress(t.Context(), l, session.Progress{}); !errors.Is(err, session.ErrLeaseLost) || !errors.Is(err, ErrSuperseded) {
			t.Errorf("Progress: %v", err)
		}
	})
}

// The predecessor writes until the last moment: what it has written before its successor took the shard is there.
func TestTakeover_WhileThePreviousOwnerWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		old := on(t, a)
		begin(t, old, true, "alice", "1")
		next := open(t, Options{API: slow(a).client(), Namespace: namespace, Name: "s"}, sessionOptions())
		accepted := map[string]bool{"1": true}
		for _, id := range []string{"2", "3", "4", "5"} {
			q := session.Question{Key: session.Key{Follower: "alice", ID: id}, Text: "question"}
			b, err := old.Begin(t.Context(), q, false, limits)
			if err == nil && b.Verdict == session.Started {
				accepted[id] = true
			} else if err != nil && !errors.Is(err, ErrSuperseded) {
				t.Fatal(err)
			}
		}
		if len(accepted) < 2 || len(accepted) > 4 {
			t.Fatalf("%d questions accepted: the processes have not met", len(accepted))
		}
		for _, turn := range look(t, next, "alice").Turns {
			delete(accepted, turn.Key.ID)
		}
		if len(accepted) > 0 {
			t.Errorf("lost: %v", accepted)
		}
	})
}

// slow is the same API server, at the end of a slow line.
func slow(a *api) *line { return &line{a} }

type line struct{ *api }

func (l *line) RoundTrip(r *http.Request) (*http.Response, error) {
	time.Sleep(100 * time.Millisecond) // in a bubble
	return l.api.RoundTrip(r)
}

func (l *line) client() *kubeapi.Client {
	return &kubeapi.Client{URL: "https://api.test", HTTP: &http.Client{Transport: l}}
}

// Of two that start at once one is left, and no question is lost.
func TestTwoStartAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		first := on(t, a)
		begin(t, first, false, "alice", "1")
		closeStore(t, first)
		both := []*Store{
			open(t, Options{API: slow(a).client(), Namespace: namespace, Name: "s", Identity: "one"}, sessionOptions()),
			open(t, Options{API: slow(a).client(), Namespace: namespace, Name: "s", Identity: "two"}, sessionOptions()),
		}
		time.Sleep(time.Minute) // in a bubble
		owners := 0
		for _, s := range both {
			err := s.Ping(t.Context())
			switch {
			case err == nil:
				owners++
				if got := look(t, s, "alice").Turns; len(got) != 1 {
					t.Errorf("turns %+v", got)
				}
			case !errors.Is(err, ErrSuperseded):
				t.Errorf("Ping: %v", err)
			}
		}
		if owners != 1 {
			t.Errorf("%d processes own the sessions", owners)
		}
	})
}

// Who changes a ConfigMap's labels, or has it deleted and made anew, does no harm to the sessions.
func TestConfigMapChangedByOthers(t *testing.T) {
	name := Names("s")[partOf("alice")/blockCount]
	tests := map[string]func(*api){
		"labels": func(a *api) { a.change(name, func(c *kubeapi.ConfigMap) { c.Metadata.Annotations["other"] = "x" }) },
		"anew":   func(a *api) { a.create(name) },
		"put back": func(a *api) {
			a.change(name, func(c *kubeapi.ConfigMap) {
				c.Metadata.Annotations[ownerAnnotation] = strings.Replace(c.Metadata.Annotations[ownerAnnotation], `"generation":2`, `"generation":1`, 1)
				c.BinaryData = map[string][]byte{blockKey(0): []byte("old")}
			})
		},
	}
	for what, change := range tests {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAPI()
				closeStore(t, on(t, a)) // generation 1
				s := on(t, a)
				finish(t, s, begin(t, s, true, "alice", "1"), "answer")
				time.Sleep(time.Second) // in a bubble
				change(a)
				begin(t, s, true, "alice", "2")
				if err := s.Ping(t.Context()); err != nil {
					t.Error(err)
				}
				drop(s)
				if got := look(t, on(t, a), "alice").Turns; len(got) != 2 || got[0].Answer.Markdown != "answer" {
					t.Errorf("turns %+v", got)
				}
			})
		})
	}
}

// An object that was made anew while nothing happened is noticed by Ping and filled again.
func TestPingHealsWhatWasMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		s := on(t, a)
		follower := "a"
		for partOf(follower)/blockCount != 0 {
			follower += "a"
		}
		begin(t, s, false, follower, "1")
		a.remove(Names("s")[0])
		time.Sleep(2 * contactAge)
		if err := s.Ping(t.Context()); !kubeapi.IsNotFound(err) {
			t.Errorf("Ping without the ConfigMap: %v", err)
		}
		a.create(Names("s")[0])
		time.Sleep(2 * contactAge)
		if err := s.Ping(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		drop(s)
		if got := look(t, on(t, a), follower).Turns; len(got) != 1 {
			t.Errorf("turns %+v", got)
		}
	})
}

// An own write whose answer was lost is not taken for another process'.
func TestAnswerToAWriteIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		s := on(t, a)
		begin(t, s, true, "alice", "1")
		a.breaks(deaf)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		failed := make(chan error)
		go func() {
			_, err := s.Begin(ctx, session.Question{Key: session.Key{Follower: "alice", ID: "2"}, Text: "question"}, false, limits)
			failed <- err
		}()
		if err := <-failed; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Begin: %v", err)
		}
		a.breaks(nil)
		time.Sleep(time.Minute) // in a bubble
		if err := s.Ping(t.Context()); err != nil {
			t.Error(err)
		}
		begin(t, s, false, "alice", "2")
		drop(s)
		if got := look(t, on(t, a), "alice").Turns; len(got) != 2 {
			t.Errorf("turns %+v", got)
		}
	})
}

// The same when the answer to taking the shards over is lost.
func TestAnswerToAClaimIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		lost := 0
		a.breaks(func(r *http.Request, serve func() *http.Response) (*http.Response, error) {
			res := serve()
			if r.Method == http.MethodPatch && lost < 3 {
				lost++
				_ = res.Body.Close()
				return nil, errors.New("connection reset")
			}
			return res, nil
		})
		s := on(t, a)
		time.Sleep(time.Minute) // in a bubble
		if err := s.Ping(t.Context()); err != nil || lost != 3 {
			t.Errorf("Ping: %v, %d answers lost", err, lost)
		}
		begin(t, s, true, "alice", "1")
	})
}
