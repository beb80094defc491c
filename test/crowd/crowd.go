package crowd

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// Crowd is some followers of one account. The bot's own texts are to be [Texts], its limit of questions high.
type Crowd struct {
	Askers []*Asker
	// Pushed says that the bot pushes late answers: a question may get no reply, and the followers take what comes by itself.
	Pushed bool

	plan func(*rand.Rand) Plan
	mu   sync.Mutex
	byID map[string]*Question
}

// New makes new followers of the account. plan makes the plan of each question; a seed repeats what they do, as far as
// time allows.
func New(platform *wechatsim.Platform, followers int, seed uint64, plan func(*rand.Rand) Plan) *Crowd {
	c := &Crowd{plan: plan, byID: map[string]*Question{}}
	for i := range followers {
		c.Askers = append(c.Askers, &Asker{
			Number: i, Follower: platform.Follower(""), crowd: c, rand: rand.New(rand.NewPCG(seed, uint64(i))), //nolint:gosec // no secret
		})
	}
	return c
}

// Chat lets all followers chat: they ask while asking lives, and go on until their last question is answered or their
// patience of 150 s is at its end. When ctx ends, what is open is lost.
func (c *Crowd) Chat(ctx, asking context.Context) {
	var all sync.WaitGroup
	for _, a := range c.Askers {
		all.Go(func() { a.chat(ctx, asking) })
	}
	all.Wait()
}

// Think makes the follower's next question, without asking it.
func (a *Asker) Think(plan Plan) *Question {
	c := a.crowd
	c.mu.Lock()
	defer c.mu.Unlock()
	q := &Question{Asker: a, Plan: plan, seen: map[int]int{}}
	q.ID = fmt.Sprintf("%c%04d", 'A'+a.Number%26, 1000*(a.Number/26)+len(a.Questions))
	c.byID[q.ID] = q
	a.Questions = append(a.Questions, q)
	return q
}

func (c *Crowd) find(id string) *Question {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byID[id]
}

// Calls sorts Dify's calls by question. Others are those that no follower of the crowd has asked.
func (c *Crowd) Calls(calls []difysim.Call) (byQuestion map[*Question][]difysim.Call, others []difysim.Call) {
	byQuestion = map[*Question][]difysim.Call{}
	for _, call := range calls {
		q := c.find(idInQuery.FindString(call.Query))
		if q == nil || q.Asker.Follower.OpenID() != call.User || call.Query != q.Text() {
			others = append(others, call)
			continue
		}
		byQuestion[q] = append(byQuestion[q], call)
	}
	return byQuestion, others
}
