package sessiontest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

const (
	// patience is how long is waited for what has to happen. Only a broken store uses it up.
	patience = 30 * time.Second
	// moment is how long is waited to see that something does not happen. A broken store may get away with it on a
	// slow machine; a good one is never blamed.
	moment = 50 * time.Millisecond
)

// roomy are limits that limit nothing the cases do.
var roomy = session.Limits{Concurrency: 1000, Queue: 1000, Open: 1000}

// tester is what a handle needs of a test, be it one of testing's or one that rapid repeats.
type tester interface {
	Helper()
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Context() context.Context
}

// handle is a store as one process uses it: with a name of its own, and failing the test on an error.
type handle struct {
	t      tester
	store  session.Store
	name   string
	limits session.Limits
	moment time.Duration
}

// String is what rapid shows of a drawn handle.
func (h *handle) String() string { return h.name }

// options are those of a store in which nothing runs out while a case lasts.
func options() session.Options {
	return session.Options{IdleTimeout: time.Hour, History: 5, LeaseTTL: time.Hour}
}

// open opens an empty store and two handles on it.
func open(t testing.TB, h Harness, o session.Options) (a, b *handle) {
	t.Helper()
	a, b = &handle{t, nil, "a", roomy, moment}, &handle{t, nil, "b", roomy, moment}
	a.store = h.Open(t, named(o, a.name))
	b.store = h.Reopen(t, a.store, named(o, b.name))
	return a, b
}

// named are the options of a process.
func named(o session.Options, name string) session.Options {
	o.Holder = name
	return o
}

func key(follower, id string) session.Key { return session.Key{Follower: follower, ID: id} }

func (h *handle) check(doing string, err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatalf("%s: %v", doing, err)
	}
}

// begin hands a question in, to be worked on at once if possible.
func (h *handle) begin(follower, id string) session.Begun {
	h.t.Helper()
	return h.beginOr(true, follower, id)
}

// enqueue hands a question in that is left to whoever asks for work.
func (h *handle) enqueue(follower, id string) session.Begun {
	h.t.Helper()
	return h.beginOr(false, follower, id)
}

func (h *handle) beginOr(claim bool, follower, id string) session.Begun {
	h.t.Helper()
	q := session.Question{Key: key(follower, id), Text: "question " + id}
	b, err := h.store.Begin(h.t.Context(), q, claim, h.limits)
	h.check("Begin", err)
	return b
}

// start hands a question in that must be started, and returns the right to work on it.
func (h *handle) start(follower, id string) *session.Lease {
	h.t.Helper()
	b := h.begin(follower, id)
	if b.Verdict != session.Started || b.Lease == nil {
		h.t.Fatalf("Begin %s of %s: verdict %d, lease %v; want it started at once", id, follower, b.Verdict, b.Lease)
	}
	return b.Lease
}

// wantVerdict begins and says what must come of it.
func (h *handle) wantVerdict(follower, id string, want session.Verdict) session.Begun {
	h.t.Helper()
	b := h.begin(follower, id)
	if b.Verdict != want {
		h.t.Fatalf("Begin %s of %s: verdict %d, want %d", id, follower, b.Verdict, want)
	}
	return b
}

// next waits for work.
func (h *handle) next() *session.Lease {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	c, err := h.store.Next(ctx, h.limits)
	h.check("Next", err)
	if c.Lease == nil {
		h.t.Fatalf("Next gave no lease, but ended %+v", c.Ended)
	}
	return c.Lease
}

// wantNext waits for work, and says which it must be.
func (h *handle) wantNext(follower, id string) *session.Lease {
	h.t.Helper()
	l := h.next()
	if l.Turn.Key != key(follower, id) {
		h.t.Fatalf("Next gave %v, want %v", l.Turn.Key, key(follower, id))
	}
	if l.Turn.State != session.Answering {
		h.t.Fatalf("Next gave state %v, want answering", l.Turn.State)
	}
	return l
}

// wantNone sees that there is no work.
func (h *handle) wantNone() {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), h.moment)
	defer cancel()
	c, err := h.store.Next(ctx, h.limits)
	if c.Lease != nil || !errors.Is(err, context.DeadlineExceeded) {
		h.t.Fatalf("Next gave %+v, %v; want nothing until the context ends", c, err)
	}
}

func (h *handle) progress(l *session.Lease, partial, conversation string) {
	h.t.Helper()
	p := session.Progress{Markdown: partial, ConversationID: conversation}
	h.check("Progress", h.store.Progress(h.t.Context(), l, p))
}

func (h *handle) finish(l *session.Lease, answer, conversation string) {
	h.t.Helper()
	o := session.Outcome{State: session.Answered, Answer: session.Answer{Markdown: answer}, ConversationID: conversation}
	h.check("Finish", h.store.Finish(h.t.Context(), l, o))
}

// answer begins a question and answers it.
func (h *handle) answer(follower, id string) {
	h.t.Helper()
	h.finish(h.start(follower, id), "answer "+id, "conversation of "+follower)
}

func (h *handle) release(l *session.Lease) {
	h.t.Helper()
	h.check("Release", h.store.Release(h.t.Context(), l))
}

// await waits for the end of a turn.
func (h *handle) await(k session.Key) session.Turn {
	h.t.Helper()
	t, err := Await(h.t.Context(), h.store, k, patience)
	h.check("Await", err)
	if !t.State.Over() {
		h.t.Fatalf("Await %v came back with state %v after %v", k, t.State, patience)
	}
	return t
}

// peek returns the turn as it is.
func (h *handle) peek(k session.Key) session.Turn {
	h.t.Helper()
	t, err := h.store.Turn(h.t.Context(), k)
	h.check("Turn", err)
	return t
}

// linger awaits an open turn for a moment, in vain: what was started in the background is waiting then, too.
func (h *handle) linger(k session.Key) {
	h.t.Helper()
	t, err := Await(h.t.Context(), h.store, k, h.moment)
	h.check("Await", err)
	if t.State.Over() {
		h.t.Fatalf("turn %v is %v, want it open", k, t.State)
	}
}

func (h *handle) look(follower string) session.Session {
	h.t.Helper()
	s, err := h.store.Get(h.t.Context(), follower)
	h.check("Look", err)
	return s
}

func (h *handle) open(follower, id string) session.Opened {
	h.t.Helper()
	o, err := h.store.Open(h.t.Context(), key(follower, id))
	h.check("Open", err)
	return o
}

func (h *handle) show(follower string, r session.Receipt) {
	h.t.Helper()
	h.check("Show", h.store.Show(h.t.Context(), follower, r))
}

// deliver records that the reply to a message shows all of a turn.
func (h *handle) deliver(follower, message, turn string) {
	h.t.Helper()
	at := h.peek(key(follower, turn)).Cursor
	h.show(follower, session.Receipt{Message: message, Turn: turn, Before: at, From: at, To: session.Cursor{At: 1, Sum: 1}, End: true})
}

func (h *handle) cancel(follower, id string) (session.Turn, bool) {
	h.t.Helper()
	t, ok, err := h.store.Cancel(h.t.Context(), key(follower, id))
	h.check("Cancel", err)
	return t, ok
}

func (h *handle) stop(id string, push bool) (session.Turn, bool) {
	h.t.Helper()
	t, ok, err := h.store.Stop(h.t.Context(), key("alice", id), push)
	h.check("Stop", err)
	return t, ok
}

func (h *handle) clear(follower, id string) string {
	h.t.Helper()
	c, err := h.store.Clear(h.t.Context(), key(follower, id))
	h.check("Clear", err)
	return c
}

func (h *handle) forget(follower string) string {
	h.t.Helper()
	c, err := h.store.Forget(h.t.Context(), follower)
	h.check("Forget", err)
	return c
}

func (h *handle) takeHold(perMinute int) bool {
	h.t.Helper()
	ok, err := h.store.TakeHold(h.t.Context(), perMinute)
	h.check("TakeHold", err)
	return ok
}

func (h *handle) pending() session.Pending {
	h.t.Helper()
	p, err := h.store.Pending(h.t.Context())
	h.check("Pending", err)
	return p
}

// wantLost sees that the holder of the lease is refused everything, and that its Lost is closed then at the latest.
func (h *handle) wantLost(l *session.Lease) {
	h.t.Helper()
	ctx := h.t.Context()
	if err := h.store.Progress(ctx, l, session.Progress{Markdown: "late", ConversationID: "late"}); !errors.Is(err, session.ErrLeaseLost) {
		h.t.Fatalf("Progress with a lost lease: %v, want ErrLeaseLost", err)
	}
	o := session.Outcome{State: session.Answered, Answer: session.Answer{Markdown: "late"}, ConversationID: "late"}
	if err := h.store.Finish(ctx, l, o); !errors.Is(err, session.ErrLeaseLost) {
		h.t.Fatalf("Finish with a lost lease: %v, want ErrLeaseLost", err)
	}
	if err := h.store.Release(ctx, l); !errors.Is(err, session.ErrLeaseLost) {
		h.t.Fatalf("Release with a lost lease: %v, want ErrLeaseLost", err)
	}
	h.wantClosed(l.Lost)
}

func (h *handle) wantClosed(lost <-chan struct{}) {
	h.t.Helper()
	select {
	case <-lost:
	case <-time.After(patience):
		h.t.Fatalf("Lost is not closed after %v", patience)
	}
}

func (h *handle) wantOpen(lost <-chan struct{}) {
	h.t.Helper()
	select {
	case <-lost:
		h.t.Fatal("Lost is closed, but the lease is not lost")
	default:
	}
}

// eventually polls a condition, ever less often, until it holds. It is for what the store does by itself and says to
// nobody, such as letting an idle session go.
func (h *handle) eventually(what string, holds func() bool) {
	h.t.Helper()
	deadline := time.Now().Add(patience)
	for pause := time.Millisecond; !holds(); pause = min(2*pause, 50*time.Millisecond) {
		if time.Now().After(deadline) {
			h.t.Fatalf("still not so after %v: %s", patience, what)
		}
		select {
		case <-time.After(pause):
		case <-h.t.Context().Done():
			h.t.Fatalf("the test ended before: %s", what)
		}
	}
}

// result is what a call made in the background came back with.
type result[T any] struct {
	value T
	err   error
}

// background makes a call whose result is read later. The call has to end with the test's context.
func background[T any](call func() (T, error)) <-chan result[T] {
	done := make(chan result[T], 1)
	go func() {
		v, err := call()
		done <- result[T]{v, err}
	}()
	return done
}

// collect waits for a call made in the background.
func collect[T any](t tester, what string, done <-chan result[T]) T {
	t.Helper()
	select {
	case r := <-done:
		if r.err != nil {
			t.Fatalf("%s: %v", what, r.err)
		}
		return r.value
	case <-time.After(patience):
		t.Fatalf("%s has not come back after %v", what, patience)
		panic("unreachable")
	}
}
