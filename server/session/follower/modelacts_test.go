package follower

import (
	"fmt"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// act takes one random step, and says what is wrong with what it returns.
func (p *play) act() string {
	acts := []func() string{
		p.beginQuestion, p.beginQuestion, p.claim, p.claim, p.progress, p.finish, p.finish, p.release, p.openMessage,
		p.show, p.show, p.unshow, p.cancel, p.stop, p.clear, p.forget, p.beginSend, p.endSend, p.endSend, p.endPush, p.window, p.serve,
	}
	return acts[p.r.IntN(len(acts))]()
}

func (p *play) beginQuestion() string {
	id, claim, again := p.id("q", 6), p.r.IntN(2) == 0, p.id("q", 18)
	st := p.step()
	p.say("%v begin %s, claiming %v, asking %s again", p.m.now, id, claim, again)
	l := p.limits
	if p.mutant == "turns have no deadline" {
		l.Timeout = 0
	}
	if p.mutant == "what is refused costs" && l.Questions > 0 {
		defer func() { p.rec.Allowance = p.rec.Allowance.add(time.Second) }()
	}
	k, asked := session.Key{Follower: "f", ID: id}, again
	if p.mutant == "what is asked again is shown all the same" {
		again = ""
	}
	if p.mutant == "every delivery is a question" {
		k.ID = fmt.Sprint(id, "'", p.r.Uint32())
	}
	got := st.Begin(session.Question{Key: k, Text: "question", Again: again}, false, claim, l)
	want := p.modelBegin(id, claim, asked)
	if got.Verdict != want.Verdict || got.Delivery != want.Delivery || (got.Receipt == nil) != (want.Receipt == nil) {
		return fmt.Sprintf("begun %+v, want %+v", got, want)
	}
	return ""
}

func (p *play) modelBegin(id string, claim bool, again string) session.Begun {
	m := p.m
	k := m.known[id]
	if k != nil && k.turn != nil {
		k.deliveries++
		m.touch()
		return session.Begun{Verdict: session.Joined, Delivery: k.deliveries, Receipt: m.takeBack(id)}
	}
	if k != nil && (k.asked || k.kind != "opening") {
		m.message(id, k.kind)
		return session.Begun{Verdict: session.Gone, Delivery: k.deliveries}
	}
	running := 0
	if m.lease != nil {
		running = 1
	}
	if m.human > m.now {
		return session.Begun{Verdict: session.Served, Delivery: 1}
	}
	tokens, refilled := m.tokens, m.refilled
	if p.limits.Questions > 0 && !m.spend(p.limits.Questions, p.limits.Window) {
		return session.Begun{Verdict: session.RateLimited, Delivery: 1}
	}
	refuse := func(v session.Verdict) session.Begun {
		m.tokens, m.refilled = tokens, refilled
		return session.Begun{Verdict: v, Delivery: 1}
	}
	if m.open() >= p.limits.Open {
		return refuse(session.TooManyOpen)
	}
	claim = claim && m.head() == nil && running < p.limits.Concurrency
	if !claim && m.open()-running >= p.limits.Queue {
		return refuse(session.Busy)
	}
	if t := m.find(again); t != nil && t.state.Over() && t.sending != session.Sending {
		t.delivered = true
		if t.pushing {
			m.stopPushing(t)
		}
	}
	t := &modelTurn{id: id, state: session.Accepted, accepted: m.now}
	if p.limits.Timeout > 0 {
		t.deadline = m.now + p.limits.Timeout
	}
	if k == nil {
		k = &modelMessage{deliveries: 1, first: m.now}
		m.known[id] = k
	}
	k.turn, k.kind, k.first = t, "question", m.now // it is remembered as long as if it had come only now
	m.turns = append(m.turns, t)
	m.touch()
	if claim {
		t.state, t.attempts, m.lease = session.Answering, 1, t
	}
	return session.Begun{Verdict: session.Started, Delivery: k.deliveries}
}

func (p *play) claim() string {
	orphaned := p.r.IntN(3) == 0
	st := p.step()
	p.say("%v claim, orphaned %v", p.m.now, orphaned)
	if p.mutant == "attempts are not counted" {
		for i := range p.rec.Turns {
			p.rec.Turns[i].Attempts = min(p.rec.Turns[i].Attempts, 1)
		}
	}
	if p.mutant == "a lease is no obstacle" {
		orphaned = true
	}
	before := int64(0)
	if p.rec.Lease != nil {
		before = p.rec.Lease.Fence
	}
	orphan := int64(0)
	if orphaned {
		orphan = before // the lease that has run out is the one that is there
	} else if p.r.IntN(4) == 0 {
		orphan = before - 1 // or one before it: somebody else was first
	}
	got := st.Claim(max(orphan, 0), p.limits)
	if p.mutant == "a lease is no obstacle" {
		orphaned = false
	}
	want, ended := p.modelClaim(orphaned)
	if got != want || len(st.Ended) != ended {
		return fmt.Sprintf("claimed %v and ended %v, want %v and %d", got, st.Ended, want, ended)
	}
	if got && p.rec.Lease.Fence <= max(before, p.m.fence) {
		return fmt.Sprintf("fence %d after %d", p.rec.Lease.Fence, before)
	}
	if got {
		p.m.fence = p.rec.Lease.Fence
	}
	return ""
}

func (p *play) modelClaim(orphaned bool) (claimed bool, ended int) {
	m := p.m
	if m.lease != nil && !orphaned {
		return false, 0
	}
	m.revoke()
	for t := m.head(); t != nil; t = m.head() {
		switch {
		case t.attempts >= session.MaxAttempts && t.pushing:
			t.pushing = false
		case t.pushing:
			t.attempts++
			m.lease = t
			return true, ended
		case t.deadline != 0 && t.deadline <= m.now:
			m.end(t, session.Failed, session.TimedOut)
			ended++
		case t.attempts >= session.MaxAttempts:
			m.end(t, session.Failed, session.Abandoned)
			ended++
		default:
			t.attempts++
			t.state, m.lease = session.Answering, t
			return true, ended
		}
	}
	return false, ended
}

// held is the lease that a process thinks it has: the record's, or now and then one that is lost.
func (p *play) held() (h Held, ok bool) {
	h = Held{Turn: "q1", Fence: 1}
	if l := p.rec.Lease; l != nil && p.r.IntN(5) > 0 {
		return Held{Turn: l.Turn, Fence: l.Fence}, true
	}
	return h, false
}

func (p *play) progress() string {
	st := p.step()
	h, ok := p.held()
	p.say("%v progress, held %v", p.m.now, ok)
	if p.mutant == "late holders are let go on" {
		st.Conversation = "c1"
	}
	if got := st.Progress(h, session.Progress{Markdown: "some", ConversationID: "c1"}); got != ok {
		return fmt.Sprintf("progress %v, want %v", got, ok)
	}
	if ok {
		p.m.conversation, p.m.lease.text = "c1", true
	}
	return ""
}

func (p *play) finish() string {
	st := p.step()
	h, ok := p.held()
	if ok && st.Find(h.Turn).State.Over() { // a turn ends once: after that it is only pushed
		return ""
	}
	push := p.r.IntN(2) == 0
	o := session.Outcome{State: session.Answered, ConversationID: []string{"", "c2"}[p.r.IntN(2)], Answer: session.Answer{Markdown: "answer"}}
	if p.r.IntN(4) == 0 {
		o.State, o.Answer.Markdown = session.Failed, ""
	}
	p.say("%v finish %v, held %v, push %v", p.m.now, o.State, ok, push)
	o.Push, o.Media = push, p.r.IntN(2) == 0
	if got := st.Finish(h, o); got != ok {
		return fmt.Sprintf("finished %v, want %v", got, ok)
	}
	if p.mutant == "conversations stay" && ok && o.ConversationID == "" {
		p.rec.Conversation = "c1"
	}
	if !ok {
		return ""
	}
	t := p.m.lease
	t.text, t.pushing, p.m.conversation = o.Answer.Markdown != "", push, o.ConversationID
	t.media = push && o.Media
	if !push {
		p.m.lease = nil
	}
	p.m.end(t, o.State, "")
	return ""
}

func (p *play) release() string {
	st := p.step()
	h, ok := p.held()
	p.say("%v release, held %v", p.m.now, ok)
	if t := st.Find(h.Turn); ok && t.Sending.State == session.Sending { // whoever sends does not release
		return ""
	}
	if got := st.Release(h); got != ok {
		return fmt.Sprintf("released %v, want %v", got, ok)
	}
	if ok {
		p.m.lease = nil
	}
	return ""
}

func (p *play) openMessage() string {
	id := p.id([]string{"o", "q"}[p.r.IntN(2)], 4)
	st := p.step()
	p.say("%v open %s", p.m.now, id)
	n, shown := st.Open(id, false)
	if k := p.m.known[id]; k != nil && k.turn != nil {
		if n != k.deliveries || shown != nil {
			return fmt.Sprintf("opened a question: delivery %d, want %d", n, k.deliveries)
		}
		return ""
	}
	k, _ := p.m.message(id, "opening")
	back := p.m.takeBack(id)
	if n != k.deliveries || (shown == nil) != (back == nil) {
		return fmt.Sprintf("opened as delivery %d with %+v, want %d with %+v", n, shown, k.deliveries, back)
	}
	return ""
}

func (p *play) show() string {
	st := p.step()
	if len(p.m.turns) == 0 {
		return ""
	}
	t := p.m.turns[p.r.IntN(len(p.m.turns))]
	id := t.id
	if p.r.IntN(2) == 0 {
		id = p.id("o", 3)
	}
	at := t.cursor
	rc := session.Receipt{Message: id, Turn: t.id, Before: at, From: at, To: session.Cursor{At: p.r.IntN(9) + 1, Sum: p.r.Uint64()}, End: p.r.IntN(2) == 0}
	k := p.m.known[id]
	if k != nil && k.shown != nil && k.shown.Turn == t.id && p.r.IntN(3) == 0 { // another delivery of it
		rc.Before = k.shown.Before
	} else if p.r.IntN(4) == 0 {
		rc.Before.At += 50
	}
	p.say("%v show %+v", p.m.now, rc)
	beside := k != nil && k.shown != nil && k.shown.Turn == t.id && k.shown.Before == rc.Before && k.shown.To == t.cursor
	want := (rc.Before == t.cursor || beside) && t.sending != session.Sending
	if p.mutant == "replies show it twice" {
		p.rec.Find(t.id).Cursor = rc.Before
	}
	if p.mutant == "what is being sent is shown too" {
		p.rec.Find(t.id).Sending = session.Part{}
	}
	if got := st.Show(rc); got != want {
		return fmt.Sprintf("shown %v, want %v", got, want)
	}
	if !want {
		return ""
	}
	if seen := st.seen(id); p.mutant == "a lost reply leaves no doubt" && seen != nil {
		seen.Shown.Doubt = session.Part{}
	}
	if k != nil {
		if rc.Before == t.cursor {
			k.before, k.doubt = t.delivered, t.sending == session.SendUnknown
		}
		k.shown = &rc
	}
	t.cursor, t.delivered = rc.To, rc.End && t.state.Over()
	if t.sending == session.SendUnknown {
		t.sending = session.NotSending
	}
	if t.delivered && t.pushing && !t.media {
		p.m.stopPushing(t)
	}
	return ""
}

func (p *play) unshow() string {
	id := p.id([]string{"o", "q"}[p.r.IntN(2)], 4)
	st := p.step()
	p.say("%v unshow %s", p.m.now, id)
	if p.mutant != "nothing is taken back" {
		st.Unshow(id)
	}
	p.m.takeBack(id)
	return ""
}

func (p *play) cancel() string {
	id := p.id("s", 3)
	st := p.step()
	p.say("%v cancel %s", p.m.now, id)
	if p.mutant == "cancels each time" {
		p.rec.Messages = nil
	}
	got, ok := st.Cancel(id, false)
	k, known := p.m.message(id, "stop")
	if !known {
		k.stopped = p.m.head()
		if k.stopped != nil {
			p.m.cancel(k.stopped)
		}
	}
	if ok != (k.stopped != nil) || ok && got != k.stopped.id {
		return fmt.Sprintf("cancelled %q, %v, want %+v", got, ok, k.stopped)
	}
	return ""
}

func (p *play) stop() string {
	id, push := p.id("s", 3), p.r.IntN(2) == 0
	st := p.step()
	p.say("%v stop %s, pushing %v", p.m.now, id, push)
	got, ok := st.Stop(id, false, push)
	k, known := p.m.message(id, "stop")
	if !known {
		k.stopped = p.m.firstOpen()
		if t := k.stopped; t != nil {
			if p.m.lease == t {
				p.m.revoke()
			}
			t.pushing = push && t.sending == session.NotSending
			p.m.end(t, session.Failed, session.Stopped)
		}
	}
	if p.mutant == "who was stopped is not told" && k.stopped != nil && p.rec.Find(k.stopped.id) != nil {
		p.rec.Find(k.stopped.id).Pushing = false
	}
	if ok != (k.stopped != nil) || ok && got != k.stopped.id {
		return fmt.Sprintf("stopped %q, %v, want %+v", got, ok, k.stopped)
	}
	return ""
}

func (p *play) clear() string {
	if p.r.IntN(3) > 0 {
		return ""
	}
	id := p.id("c", 3)
	st := p.step()
	p.say("%v clear %s", p.m.now, id)
	got, want := st.Clear(id, false), ""
	if p.mutant == "clearing forgets all" {
		st.Forget()
		st.touch()
	}
	if _, known := p.m.message(id, "clearing"); !known {
		p.m.revoke()
		for len(p.m.turns) > 0 {
			p.m.drop(p.m.turns[0])
		}
		want, p.m.conversation = p.m.conversation, ""
	}
	if got != want {
		return fmt.Sprintf("cleared %q, want %q", got, want)
	}
	return ""
}

func (p *play) forget() string {
	if p.r.IntN(3) > 0 {
		return ""
	}
	st := p.step()
	p.say("%v forget", p.m.now)
	got, want := st.Forget(), p.m.forget()
	if p.mutant == "forgetting leaves no tombstone" {
		p.rec.Messages = nil
	}
	if got != want {
		return fmt.Sprintf("forgot %q, want %q", got, want)
	}
	return ""
}

func (p *play) window() string {
	kind := []string{"message", "click"}[p.r.IntN(2)]
	st := p.step()
	lasts, sends := time.Duration(p.r.IntN(90)+1)*time.Second, p.r.IntN(3)+1
	p.say("%v window %s for %v, %d sends", p.m.now, kind, lasts, sends)
	st.Contact(session.Window{Kind: kind, Lasts: lasts, Sends: sends})
	p.m.touch()
	p.m.windows[kind] = &modelWindow{p.m.now, p.m.now + lasts, sends}
	return ""
}

func (p *play) serve() string {
	st := p.step()
	d := time.Duration(p.r.IntN(60)) * time.Second
	p.say("%v a person serves for %v", p.m.now, d)
	st.Serve(d)
	p.m.touch()
	p.m.human = 0
	if d > 0 {
		p.m.human = p.m.now + d
	}
	return ""
}
