package configmap

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/session/configmap/kubeapi"
)

const (
	// standByFor is how long a owner before may take to close its store until it is asked whether it lives: to be told to
	// stop after this process has become ready, and for the eleven seconds that a server takes for it.
	standByFor = 20 * time.Second
	// aliveWithin is how long it may take to answer.
	aliveWithin = 3 * time.Second
	// standByLook is how often it is looked at meanwhile.
	standByLook = 500 * time.Millisecond
)

// standsBy tells whether the sessions are left to held for now.
func (p *port) standsBy(held owner) bool {
	if p.isOver(held) {
		return false
	}
	if p.standFor != held.Identity {
		p.standFor, p.standUntil = held.Identity, time.Now().Add(standByFor)
		p.options.Log.Info("Standing by: the sessions are another process' until it stops", "owner", held.Identity)
	}
	if !time.Now().Before(p.standUntil) {
		return false
	}
	p.other.Store(&held)
	p.note(nil)
	p.hasTried()
	return true
}

// isOver tells whether held, the owner before, has certainly ended: it has said so, or was of this same pod. Or there was
// none.
func (p *port) isOver(held owner) bool {
	return held == (owner{}) || held.Released || strings.HasPrefix(held.Identity, p.options.Identity+"/")
}

// awaitRelease waits until held has given the sessions up or lost them, or has had its time and does not live. An API
// server that does not answer takes from that time.
func (p *port) awaitRelease(held owner) error {
	look := time.NewTicker(standByLook)
	defer look.Stop()
	for time.Now().Before(p.standUntil) || p.lives(held) {
		select {
		case <-look.C:
		case <-p.steppedDown:
			return errSteppedDown
		case <-p.closing:
			return session.ErrClosed
		}
		ctx, cancel := context.WithTimeout(p.life, requestTimeout)
		m, err := p.options.API.GetCachedMetadata(ctx, p.options.Namespace, p.shards[0].name)
		cancel()
		if err != nil {
			continue
		}
		if now, _, err := ownerOf(m, 0); err != nil || now != held {
			return nil // whoever reads it next says what is wrong with it
		}
	}
	return nil
}

// lives asks whether held still runs, although nobody replaces it: there are more pods than one, then. It is given the time
// of another look at it.
func (p *port) lives(held owner) bool {
	if p.options.Alive == nil || held.Address == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(p.life, aliveWithin)
	defer cancel()
	if !p.options.Alive(ctx, held.Identity, held.Address) {
		return false
	}
	p.standUntil = time.Now().Add(standByFor)
	return true
}

// Superseded is closed when another process has taken the sessions from this one. They do not come back to it: it is
// to end, and to be started anew.
func (s *Store) Superseded() <-chan struct{} { return s.port.superseded }

// StepDown makes a process that has no sessions yet leave them to others, as it is about to stop itself. One that has
// them keeps them until Close.
func (s *Store) StepDown() { s.port.stepDownOnce.Do(func() { close(s.port.steppedDown) }) }

// elsewhere is session.ErrElsewhere while this process stands by.
func (p *port) elsewhere() error {
	if p.other.Load() == nil {
		return nil
	}
	return session.ErrElsewhere
}

// Identity names this process among all that have ever had the sessions, as Elsewhere does.
func (s *Store) Identity() string { return s.port.identity }

// Elsewhere says who has the sessions while this process stands by, and from when it has been superseded: the identity,
// and the address that was given as its Options.Address. Both are empty if this process has them itself, or nobody has.
func (s *Store) Elsewhere() (identity, address string) {
	if other := s.port.other.Load(); other != nil {
		return other.Identity, other.Address
	}
	return "", ""
}

// release lets who stands by take the sessions over at once. Without it they take some seconds longer: it is no error.
func (p *port) release(ctx context.Context) {
	if err := p.shards[0].release(ctx); err != nil && !errors.Is(err, ErrSuperseded) {
		p.options.Log.Warn("The sessions could not be given up: the next process waits for some seconds", "error", err)
	}
}

func (sh *shard) release(ctx context.Context) error {
	released := sh.me()
	released.Released = true
	for {
		err := sh.claim(ctx, released, sh.version)
		if !kubeapi.IsConflict(err) {
			return err
		}
		m, held, err := sh.look(ctx, requestTimeout)
		if err != nil {
			return err
		}
		if held != sh.me() {
			return errors.New("ConfigMap " + sh.name + " has been made anew")
		}
		sh.version = m.ResourceVersion
	}
}
