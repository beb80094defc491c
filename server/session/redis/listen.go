package redis

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// pingAfter is how long a subscription may be silent before it is asked whether it is still there, and how long it
	// may take to say so.
	pingAfter = 3 * time.Second
	// resubscribe is the pause between two tries to subscribe.
	resubscribe = 200 * time.Millisecond
)

// listen keeps the subscription until the store is closed: one for all who wait in this process.
func (s *Store) listen() {
	for s.life.Err() == nil {
		err := s.subscription()
		if s.listening.Swap(false) && s.life.Err() == nil {
			s.log.Warn("Lost the subscription in Redis; looking more often until it is back", "error", err)
		}
		t := time.NewTimer(resubscribe)
		select {
		case <-t.C:
		case <-s.life.Done():
			t.Stop()
		}
	}
}

// subscription subscribes and hears until the connection fails.
func (s *Store) subscription() error {
	sub := s.client.Subscribe(s.life, s.channel)
	unblock := context.AfterFunc(s.life, func() { _ = sub.Close() })
	defer func() {
		if unblock() {
			_ = sub.Close()
		}
	}()
	asked := false
	for {
		m, err := sub.ReceiveTimeout(s.life, pingAfter)
		switch {
		case err == nil:
		case asked || s.life.Err() != nil || !timedOut(err):
			return err
		default:
			if err := sub.Ping(s.life); err != nil {
				return err
			}
			asked = true
			continue
		}
		asked = false
		switch m := m.(type) {
		case *redis.Subscription:
			s.hearAgain()
		case *redis.Message:
			s.hear(m.Payload)
		}
	}
}

func timedOut(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// hearAgain looks for what may have been missed.
func (s *Store) hearAgain() {
	if !s.listening.Swap(true) {
		s.log.Info("Subscribed in Redis")
	}
	signal(s.subscribed)
	signal(s.work)
}

// hear does what the scripts tell: a row of records like that of turns.
func (s *Store) hear(events string) {
	for rest := row(events); rest.valid(); {
		var kind byte
		var what string
		kind, what, rest = rest.next()
		switch kind {
		case 'w':
			signal(s.work)
		case 'l':
			s.leases.lose(number(what), nil)
		case 'e':
			s.hearEnd(turnID(what))
		}
	}
}

// hearEnd wakes those who await a turn. If this process holds it still, it is about to hear the end from its own call.
func (s *Store) hearEnd(id turnID) {
	if s.leases.holds(id) {
		return
	}
	if k, awaited := s.waiters.key(id); awaited {
		s.waiters.wake(id, s.fetch(s.life, k))
	}
}

// signal puts a token into a channel if it holds none.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
