package crowd

import (
	"context"
	"slices"
	"time"

	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// The times that a follower waits for a message by itself before asking for it: some do at once, some wait for as long as an answer takes
// whose process has died.
const (
	hasty  = 3 * time.Second
	steady = 30 * time.Second
)

// wait is how long the follower waits for more, having read this last.
func (a *Asker) wait(r reply) time.Duration {
	if r.retry.Send != "" || r.more.Send != "" {
		return hasty // there is something to tap
	}
	return hasty + time.Duration(a.rand.Int64N(int64(steady-hasty)))
}

// listen waits for a message of the account's and takes it; false if none comes.
func (a *Asker) listen(ctx context.Context, atMost time.Duration) bool {
	if !a.crowd.Pushed {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	if _, err := a.Follower.Next(ctx, a.bubbles); err != nil {
		return false
	}
	a.hear(nil, nil) //nolint:contextcheck // as above: it waits for nothing
	return true
}

// hear takes what the follower's client has shown since, in its order: what the account has sent by itself, and the reply to the exchange
// that has ended meanwhile, if there was one.
func (a *Asker) hear(asking *Question, x *wechatsim.Exchange) {
	now, cancel := context.WithCancel(context.Background())
	cancel() // not to wait for more
	shown, _ := a.Follower.Next(now, a.bubbles)
	a.bubbles += len(shown)
	for _, b := range shown {
		switch {
		case b.Pushed:
			a.note(a.receive(b))
		case b.From != wechatsim.FromFollower && x != nil:
			a.note(a.take(asking, x))
			x = nil
		}
	}
	if x != nil { // it had no reply
		a.note(a.take(asking, x))
	}
}

// receive takes a message that the account has sent by itself, and says what is wrong with it.
func (a *Asker) receive(b wechatsim.Bubble) (wrongs []string) {
	a.messages = append(a.messages, b)
	if !b.AI {
		wrongs = append(wrongs, "a message without the line that AI has made it")
	}
	r := read(b.Text)
	return append(wrongs, a.understand(a.meantBy(r, b.At), r, true, b.At)...)
}

// meantBy is the question that a message is about which does not say: the last one that had been asked when it came, and that has
// arrived. The message itself may be what tells that it has, while a delivery of it is still under way. nil if there is none.
func (a *Asker) meantBy(r reply, at time.Time) *Question {
	marks := marked.FindStringSubmatch(r.body)
	for _, q := range slices.Backward(a.Questions) {
		if q.Asked.After(at) {
			continue // the message came before, and is read now
		}
		if len(marks) > 1 && marks[1] == q.ID {
			q.Accepted = true
		}
		if q.Accepted {
			return q
		}
	}
	return nil
}
