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
	// standByFor is how long a predecessor may take to close its store before it counts as dead: to be told to stop after
	// this process has become ready, and for the eight seconds that a server gives its turns then.
	standByFor = 20 * time.Second
	// standByLook is how often it is looked at meanwhile.
	standByLook = 500 * time.Millisecond
)

// standsBy tells whether the sessions are left to held for now.
func (s *Store) standsBy(held owner) bool {
	if held == (owner{}) || held.Released || strings.HasPrefix(held.Identity, s.options.Identity+"/") {
		return false
	}
	if s.standUntil.IsZero() {
		s.standUntil = time.Now().Add(standByFor)
		s.options.Log.Info("Standing by: the sessions are another process' until it stops", "owner", held.Identity)
	}
	if !time.Now().Before(s.standUntil) {
		return false
	}
	s.mu.Lock()
	s.problem, s.standing = nil, true
	s.mu.Unlock()
	s.hasTried()
	return true
}

// awaitRelease waits until held has given the sessions up or lost them, or has had its time. An API server that does not
// answer takes from that time.
func (s *Store) awaitRelease(held owner) error {
	look := time.NewTicker(standByLook)
	defer look.Stop()
	for time.Now().Before(s.standUntil) {
		select {
		case <-look.C:
		case <-s.resigned:
			return errResigned
		case <-s.closing:
			return errClosed
		}
		ctx, cancel := context.WithTimeout(s.life, requestTimeout)
		m, err := s.options.API.GetCachedMetadata(ctx, s.options.Namespace, s.shards[0].name)
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

// Resign makes a process that has no sessions yet leave them to others, as it is about to stop itself. One that has them
// keeps them until Close.
func (s *Store) Resign() { s.resignOnce.Do(func() { close(s.resigned) }) }

// elsewhere is session.ErrElsewhere while this process stands by.
func (s *Store) elsewhere() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.standing {
		return session.ErrElsewhere
	}
	return nil
}

// release lets who stands by take the sessions over at once. Without it they take some seconds longer: it is no error.
func (s *Store) release(ctx context.Context) {
	if err := s.shards[0].release(ctx); err != nil && !errors.Is(err, ErrSuperseded) {
		s.options.Log.Warn("The sessions could not be given up: the next process waits for some seconds", "error", err)
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
