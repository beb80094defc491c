package turn_test

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/turn"
)

// scripted is a Dify for what the stand-in cannot be told to do: exact errors, texts at exact times.
type scripted struct {
	// chat answers the nth call; say reports the text so far. Nil answers with the question.
	chat func(ctx context.Context, n int, r dify.ChatRequest, say func(text string)) (dify.Answer, error)
	// parameters, stop and remove may be nil.
	parameters func(ctx context.Context) (dify.Parameters, error)
	stop       func(ctx context.Context, task string) error
	remove     func(ctx context.Context, conversation string) error
	// await may be nil: then no run goes on.
	await func(ctx context.Context, r dify.Run) (dify.Answer, error)

	mu      sync.Mutex
	asked   []dify.ChatRequest
	stopped []string
	removed []string
	looked  int
	cleared []string // users
	welcome int
}

var _ turn.Dify = (*scripted)(nil)

func (s *scripted) Chat(ctx context.Context, r dify.ChatRequest, onUpdate func(dify.Update)) (dify.Answer, error) {
	s.mu.Lock()
	s.asked = append(s.asked, r)
	n := len(s.asked)
	s.mu.Unlock()
	if s.chat == nil {
		return dify.Answer{Text: "回答：" + r.Query, ConversationID: "c1"}, nil
	}
	return s.chat(ctx, n, r, func(text string) {
		onUpdate(dify.Update{Text: text, ConversationID: "c1", TaskID: "task-1"})
	})
}

func (s *scripted) Stop(ctx context.Context, task, _ string) error {
	s.mu.Lock()
	s.stopped = append(s.stopped, task)
	s.mu.Unlock()
	if s.stop == nil {
		return nil
	}
	return s.stop(ctx, task)
}

func (s *scripted) Await(ctx context.Context, r dify.Run) (dify.Answer, error) {
	s.mu.Lock()
	s.looked++
	s.mu.Unlock()
	if s.await == nil {
		return dify.Answer{}, &dify.Error{Op: "await", Kind: dify.NotRunning}
	}
	return s.await(ctx, r)
}

func (s *scripted) DeleteConversations(_ context.Context, user string) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cleared = append(s.cleared, user)
	return 1, nil
}

func (s *scripted) DeleteConversation(ctx context.Context, id, _ string) error {
	s.mu.Lock()
	s.removed = append(s.removed, id)
	s.mu.Unlock()
	if s.remove == nil {
		return nil
	}
	return s.remove(ctx, id)
}

func (s *scripted) Parameters(ctx context.Context) (dify.Parameters, error) {
	s.mu.Lock()
	s.welcome++
	s.mu.Unlock()
	if s.parameters == nil {
		return dify.Parameters{}, nil
	}
	return s.parameters(ctx)
}

// requests are the calls of Chat so far.
func (s *scripted) requests() []dify.ChatRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]dify.ChatRequest(nil), s.asked...)
}

func (s *scripted) wantCalls(t testing.TB, n int) {
	t.Helper()
	if got := len(s.requests()); got != n {
		t.Errorf("Dify was called %d times, want %d", got, n)
	}
}

// hang is a chat that gives a text, if any, and then nothing more.
func hang(text string) func(context.Context, int, dify.ChatRequest, func(string)) (dify.Answer, error) {
	return func(ctx context.Context, _ int, _ dify.ChatRequest, say func(string)) (dify.Answer, error) {
		say(text)
		<-ctx.Done()
		return dify.Answer{Text: text, ConversationID: "c1", TaskID: "task-1"}, canceled(ctx)
	}
}

// canceled is what dify's client says when its caller's context has ended: an error of its own around the context's.
func canceled(ctx context.Context) error {
	return errors.Join(&dify.Error{Op: "chat", Kind: dify.Canceled}, ctx.Err())
}

var errStore = errors.New("the store is down")

// shaky is a store of which single calls fail: those that fails says so of, counted from 1 over all methods.
type shaky struct {
	session.Store
	calls   atomic.Int64
	fails   func(n int64, method string) bool
	err     error // what they fail with; nil is errStore
	lasting bool  // what Durable says
}

func (s *shaky) fault(method string) error {
	if s.fails(s.calls.Add(1), method) {
		return cmp.Or(s.err, errStore)
	}
	return nil
}

func (s *shaky) Begin(ctx context.Context, q session.Question, claim bool, l session.Limits) (session.Begun, error) {
	if err := s.fault("Begin"); err != nil {
		return session.Begun{}, err
	}
	return s.Store.Begin(ctx, q, claim, l)
}

func (s *shaky) Retract(ctx context.Context, k session.Key) error {
	if err := s.fault("Retract"); err != nil {
		return err
	}
	return s.Store.Retract(ctx, k)
}

func (s *shaky) Next(ctx context.Context, l session.Limits) (session.Claimed, error) {
	if err := s.fault("Next"); err != nil {
		return session.Claimed{}, err
	}
	return s.Store.Next(ctx, l)
}

func (s *shaky) Renew(ctx context.Context) error {
	if err := s.fault("Renew"); err != nil {
		return err
	}
	return s.Store.Renew(ctx)
}

func (s *shaky) Progress(ctx context.Context, l *session.Lease, p session.Progress) error {
	if err := s.fault("Progress"); err != nil {
		return err
	}
	return s.Store.Progress(ctx, l, p)
}

func (s *shaky) Finish(ctx context.Context, l *session.Lease, o session.Outcome) error {
	if err := s.fault("Finish"); err != nil {
		return err
	}
	return s.Store.Finish(ctx, l, o)
}

func (s *shaky) Release(ctx context.Context, l *session.Lease) error {
	if err := s.fault("Release"); err != nil {
		return err
	}
	return s.Store.Release(ctx, l)
}

func (s *shaky) Turn(ctx context.Context, k session.Key) (session.Turn, error) {
	if err := s.fault("Turn"); err != nil {
		return session.Turn{}, err
	}
	return s.Store.Turn(ctx, k)
}

func (s *shaky) Open(ctx context.Context, k session.Key) (session.Opened, error) {
	if err := s.fault("Open"); err != nil {
		return session.Opened{}, err
	}
	return s.Store.Open(ctx, k)
}

func (s *shaky) Get(ctx context.Context, follower string) (session.Session, error) {
	if err := s.fault("Get"); err != nil {
		return session.Session{}, err
	}
	return s.Store.Get(ctx, follower)
}

func (s *shaky) Show(ctx context.Context, follower string, r session.Receipt) error {
	if err := s.fault("Show"); err != nil {
		return err
	}
	return s.Store.Show(ctx, follower, r)
}

func (s *shaky) Unshow(ctx context.Context, k session.Key) error {
	if err := s.fault("Unshow"); err != nil {
		return err
	}
	return s.Store.Unshow(ctx, k)
}

func (s *shaky) Cancel(ctx context.Context, k session.Key) (session.Turn, bool, error) {
	if err := s.fault("Cancel"); err != nil {
		return session.Turn{}, false, err
	}
	return s.Store.Cancel(ctx, k)
}

func (s *shaky) Stop(ctx context.Context, k session.Key, push bool) (session.Turn, bool, error) {
	if err := s.fault("Stop"); err != nil {
		return session.Turn{}, false, err
	}
	return s.Store.Stop(ctx, k, push)
}

func (s *shaky) Clear(ctx context.Context, k session.Key) (string, error) {
	if err := s.fault("Clear"); err != nil {
		return "", err
	}
	return s.Store.Clear(ctx, k)
}

func (s *shaky) Forget(ctx context.Context, follower string) (string, error) {
	if err := s.fault("Forget"); err != nil {
		return "", err
	}
	return s.Store.Forget(ctx, follower)
}

func (s *shaky) TakeHold(ctx context.Context, perMinute int) (bool, error) {
	if err := s.fault("TakeHold"); err != nil {
		return false, err
	}
	return s.Store.TakeHold(ctx, perMinute)
}

func (s *shaky) Pending(ctx context.Context) (session.Pending, error) {
	if err := s.fault("Pending"); err != nil {
		return session.Pending{}, err
	}
	return s.Store.Pending(ctx)
}

func (s *shaky) BeginSend(ctx context.Context, l *session.Lease, from session.Cursor, p session.Part) (session.SendVerdict, error) {
	if err := s.fault("BeginSend"); err != nil {
		return 0, err
	}
	return s.Store.BeginSend(ctx, l, from, p)
}

func (s *shaky) EndSend(ctx context.Context, l *session.Lease, r session.SendResult) error {
	if err := s.fault("EndSend"); err != nil {
		return err
	}
	return s.Store.EndSend(ctx, l, r)
}

func (s *shaky) EndPush(ctx context.Context, l *session.Lease, all bool) error {
	if err := s.fault("EndPush"); err != nil {
		return err
	}
	return s.Store.EndPush(ctx, l, all)
}

func (s *shaky) Contact(ctx context.Context, follower string, w session.Window) error {
	if err := s.fault("Contact"); err != nil {
		return err
	}
	return s.Store.Contact(ctx, follower, w)
}

func (s *shaky) Keep(ctx context.Context, k session.Key, m session.Media, most int) (int, error) {
	if err := s.fault("Keep"); err != nil {
		return 0, err
	}
	return s.Store.Keep(ctx, k, m, most)
}

func (s *shaky) Serve(ctx context.Context, follower string, atMost time.Duration) error {
	if err := s.fault("Serve"); err != nil {
		return err
	}
	return s.Store.Serve(ctx, follower, atMost)
}

func (s *shaky) Durable() bool { return s.lasting }

// sound is a store of which no call fails and that says it is shared by processes.
func sound(s session.Store) *shaky {
	return &shaky{Store: s, fails: func(int64, string) bool { return false }, lasting: true}
}

// idle is a store that has no work for anybody.
type idle struct{ session.Store }

func (idle) Next(ctx context.Context, _ session.Limits) (session.Claimed, error) {
	<-ctx.Done()
	return session.Claimed{}, ctx.Err()
}
