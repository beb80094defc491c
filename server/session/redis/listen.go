package redis

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// pingAfter is how long a subscription may be silent before it is asked whether it is still there, and how long it
	// may take to say so.
	pingAfter = 3 * time.Second
	// resubscribe is the pause between two tries to subscribe, resubscribeRefused after Redis has refused it: that needs
	// somebody to change something.
	resubscribe        = 200 * time.Millisecond
	resubscribeRefused = 15 * time.Second
	// lookAgain is how often all turns that are awaited are looked at: a missed message costs no more.
	lookAgain = 2 * time.Second
	// lookUnsubscribed is how often while there is no subscription.
	lookUnsubscribed = 200 * time.Millisecond
)

// listen keeps the subscription until the port is closed: one for all who wait in this process.
func (p *Port) listen() {
	for p.life.Err() == nil {
		err := p.subscription()
		if p.life.Err() != nil {
			return
		}
		pause := resubscribe
		if _, refused := errors.AsType[redis.Error](err); refused {
			pause = resubscribeRefused
		}
		p.unsubscribed(explain("subscribing in Redis", err), pause == resubscribeRefused)
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-p.life.Done():
			t.Stop()
		}
	}
}

// unsubscribed says that the subscription is not there, if that is news.
func (p *Port) unsubscribed(err error, refused bool) {
	before := p.problem.Swap(&err)
	switch {
	case p.listening.Swap(false):
		p.log.Warn("Lost the subscription in Redis; looking more often until it is back", "error", err)
	case refused && (before == nil || (*before).Error() != err.Error()):
		p.log.Warn("Redis refuses the subscription; looking more often instead", "error", err)
	}
}

// subscription subscribes and hears until the connection fails.
func (p *Port) subscription() error {
	sub := p.client.Subscribe(p.life, p.keys.events, p.keys.presence(p.rules.Holder))
	unblock := context.AfterFunc(p.life, func() { _ = sub.Close() })
	defer func() {
		if unblock() {
			_ = sub.Close()
		}
	}()
	asked := false
	for {
		m, err := sub.ReceiveTimeout(p.life, pingAfter)
		switch {
		case err == nil:
		case asked || p.life.Err() != nil || !timedOut(err):
			return err
		default:
			if err := sub.Ping(p.life); err != nil {
				return err
			}
			asked = true
			continue
		}
		asked = false
		switch m := m.(type) {
		case *redis.Subscription:
			p.hearAgain()
		case *redis.Message:
			p.hear(m.Payload)
		}
	}
}

func timedOut(err error) bool {
	n, ok := errors.AsType[net.Error](err)
	return ok && n.Timeout()
}

// hearAgain looks for what may have been missed.
func (p *Port) hearAgain() {
	p.problem.Store(nil)
	if !p.listening.Load() {
		p.since.Store(time.Now().UnixMilli())
		p.listening.Store(true)
		p.log.Info("Subscribed in Redis")
	}
	signal(p.subscribed)
	signal(p.work)
}

// hear does what another process has told: w there may be a candidate, e and a follower whose turns have to be looked at.
func (p *Port) hear(event string) {
	from, what, _ := strings.Cut(event, " ")
	work, member, ended := strings.Cut(what, "e")
	if work == "w" {
		signal(p.work)
	}
	if ended && from != p.id {
		if openid, ok := p.watched.openid(member); ok {
			p.changed(openid)
		}
	}
}

// watch has what is awaited looked at every now and then, until the port is closed.
func (p *Port) watch() {
	for {
		every := lookAgain
		if !p.listening.Load() {
			every = lookUnsubscribed
		}
		t := time.NewTimer(every)
		select {
		case <-t.C:
		case <-p.subscribed:
			t.Stop()
		case <-p.life.Done():
			t.Stop()
			return
		}
		p.changed("")
	}
}

// Watch says that changes of a follower are of interest. See records.Port.
func (p *Port) Watch(openid string) (stop func()) { return p.watched.add(openid) }

// watched are the followers whose changes are of interest, by how Redis knows them.
type watched struct {
	mu sync.Mutex
	by map[string]*watch
}

type watch struct {
	openid string
	n      int
}

func (w *watched) add(openid string) (stop func()) {
	member := memberOf(openid)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.by == nil {
		w.by = make(map[string]*watch)
	}
	one := w.by[member]
	if one == nil {
		one = &watch{openid: openid}
		w.by[member] = one
	}
	one.n++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		one.n--
		if one.n == 0 {
			delete(w.by, member)
		}
	}
}

func (w *watched) openid(member string) (string, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	one := w.by[member]
	if one == nil {
		return "", false
	}
	return one.openid, true
}

// signal puts a token into a channel if it holds none.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// isMissing tells whether Redis said that something is not there.
func isMissing(err error) bool { return errors.Is(err, redis.Nil) }
