package records

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/session/follower"
)

// Store implements session.Store on a Port.
type Store struct {
	port   Port
	holder string

	mu       sync.Mutex
	leases   map[string]*lease // by follower: of one, one turn is held at a time
	meetings map[string]*meeting
	inDoubt  map[session.Key]doubt
}

// New makes a store of what the port keeps. holder is this process' name, as the port gives it to steps.
func New(p Port, holder string) *Store {
	s := &Store{
		port: p, holder: holder,
		leases: make(map[string]*lease), meetings: make(map[string]*meeting), inDoubt: make(map[session.Key]doubt),
	}
	p.Attach(s.changed)
	return s
}

// update takes a step. What it means for those who wait in this process is done here; other processes hear of it from
// the port. ended is the turn that the step has ended, if it is known with its texts.
func (s *Store) update(ctx context.Context, doing, openid string, step func(*follower.Step)) error {
	var woken bool
	var held *follower.Lease
	err := s.port.Update(ctx, openid, func(st *follower.Step) {
		step(st)
		woken, held = st.Woken, st.Lease
	})
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	if woken {
		s.lose(openid, held)
		s.wake(openid, nil)
	}
	return nil
}

// changed is told by the port. A lease on a turn of the follower may be lost.
func (s *Store) changed(openid string) {
	var all []string
	s.mu.Lock()
	if openid == "" {
		all = slices.Collect(maps.Keys(s.meetings))
		for _, l := range s.leases {
			l.look = true
		}
	} else {
		all = []string{openid}
		if l := s.leases[openid]; l != nil {
			l.look = true
		}
	}
	s.mu.Unlock()
	for _, f := range all {
		s.wake(f, nil)
	}
}

// Turn reads a turn as it is. See session.Store.
func (s *Store) Turn(ctx context.Context, k session.Key) (session.Turn, error) {
	v, err := s.port.View(ctx, k.Follower, k.ID)
	if err != nil {
		return session.Turn{}, fmt.Errorf("reading a turn: %w", err)
	}
	return v.turn(k)
}

func (v View) turn(k session.Key) (session.Turn, error) {
	if v.Record == nil {
		return session.Turn{Key: k, State: session.Cancelled}, nil
	}
	t := v.Record.Turn(k)
	if texts := v.Texts[k.ID]; texts != nil {
		if err := texts.Fill(&t); err != nil {
			return session.Turn{}, err
		}
	}
	return t, nil
}

func (v View) session(openid string) (session.Session, error) {
	if v.Record == nil {
		return session.Session{}, nil
	}
	have := v.Record.Session(openid)
	for i := range have.Turns {
		if texts := v.Texts[have.Turns[i].Key.ID]; texts != nil {
			if err := texts.Fill(&have.Turns[i]); err != nil {
				return session.Session{}, err
			}
		}
	}
	return have, nil
}

// Watch joins those who wait for the end of a turn. See session.Store.
func (s *Store) Watch(k session.Key) session.Watch {
	m, look := s.meet(k)
	return session.Watch{
		Woken: m.woken, Look: look,
		Ended: func() *session.Turn { return m.last },
		Stop:  func() { s.leave(k.Follower, m) },
	}
}

// meeting is where those meet who await turns of one follower.
type meeting struct {
	n     int
	woken chan struct{}
	key   session.Key
	last  *session.Turn // how the turn has ended, if that is known when woken is closed
	stop  func()
}

// meet joins those who await the turn. Of one that this process runs it hears, so there is nothing to look at before.
func (s *Store) meet(k session.Key) (m *meeting, look bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m = s.meetings[k.Follower]
	if m == nil {
		m = &meeting{woken: make(chan struct{}), stop: s.port.Watch(k.Follower), key: k}
		s.meetings[k.Follower] = m
	}
	if m.key != k {
		m.key = session.Key{} // of different turns
	}
	m.n++
	l := s.leases[k.Follower]
	return m, l == nil || l.Key != k || l.look
}

func (s *Store) leave(openid string, m *meeting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m.n--
	if m.n == 0 {
		m.stop()
		if s.meetings[openid] == m {
			delete(s.meetings, openid)
		}
	}
}

// wake has all look again who await turns of the follower. ended is what they get without looking, if it is theirs.
func (s *Store) wake(openid string, ended *session.Turn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.meetings[openid]; m != nil {
		if ended != nil && m.key == ended.Key {
			m.last = ended
		}
		delete(s.meetings, openid)
		close(m.woken)
	}
}

// TakeHold takes a hold out of the budget. See session.Store.
func (s *Store) TakeHold(ctx context.Context, perMinute int) (bool, error) {
	if perMinute <= 0 {
		return false, nil
	}
	ok, err := s.port.TakeHold(ctx, perMinute)
	if err != nil {
		return false, fmt.Errorf("taking a hold: %w", err)
	}
	return ok, nil
}

// Use counts what a turn has used. See session.Store.
func (s *Store) Use(ctx context.Context, openid string, u session.Use) error {
	return s.update(ctx, "counting tokens", openid, func(st *follower.Step) { st.Use(u) })
}

// Used tells what the bot has used. See session.Store.
func (s *Store) Used(ctx context.Context) (session.Used, error) {
	u, err := s.port.Used(ctx)
	if err != nil {
		return session.Used{}, fmt.Errorf("reading what was used: %w", err)
	}
	return u, nil
}

// Pending counts what would be lost. See session.Store.
func (s *Store) Pending(ctx context.Context) (session.Pending, error) {
	if s.port.Durable() {
		return session.Pending{}, nil
	}
	return s.port.Pending(ctx)
}

// Waiting counts who waits to be claimed. See session.Store.
func (s *Store) Waiting(ctx context.Context) (int, error) {
	n, err := s.port.Waiting(ctx)
	if err != nil {
		return 0, fmt.Errorf("counting the turns that wait: %w", err)
	}
	return n, nil
}

// Durable tells whether sessions outlive the process. See session.Store.
func (s *Store) Durable() bool { return s.port.Durable() }

// Ping says whether the store answers. See session.Store.
func (s *Store) Ping(ctx context.Context) error { return s.port.Ping(ctx) }

var _ session.Store = (*Store)(nil)
