package follower

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// model is what the rules should come to, as plainly as it can be said: nothing is trimmed before it is asked for, times
// are what has really passed, an allowance is a bucket of tokens.
type model struct {
	rules session.Options
	now   time.Duration // since the beginning, by a clock that nobody sets
	turns []*modelTurn
	known map[string]*modelMessage // of the follower, also what is gone

	conversation string
	active       time.Duration
	there        bool // a session, not only a tombstone or nothing
	tokens       float64
	refilled     time.Duration
	windows      map[string]*modelWindow
	human        time.Duration
	lease        *modelTurn
	fence        int64
}

type modelTurn struct {
	id        string
	state     session.State
	accepted  time.Duration
	deadline  time.Duration // 0 is none
	attempts  int
	text      bool
	failure   string
	cursor    session.Cursor
	delivered bool
	pushing   bool
	media     bool // more than the text is to be sent
	sends     int
	sending   session.SendState
	to        session.Cursor
	end       bool
	since     time.Duration // of what is being sent
}

type modelMessage struct {
	turn       *modelTurn // nil when it is gone
	asked      bool       // a question, or something that is gone
	deliveries int
	first      time.Duration
	stopped    *modelTurn
	kind       string
	shown      *session.Receipt
	before     bool // whether the turn that was shown was delivered before
	doubt      bool // whether a part of it had perhaps been sent
}

type modelWindow struct {
	opened, until time.Duration
	left          int
}

func newModel(rules session.Options) *model {
	return &model{rules: rules, known: map[string]*modelMessage{}, windows: map[string]*modelWindow{}, tokens: -1}
}

// pass lets time pass, and what it ends end.
func (m *model) pass(d time.Duration) {
	m.now += d
	if m.there && m.head() == nil && m.now-m.active >= m.rules.IdleTimeout {
		m.forget()
	}
	for id, k := range m.known {
		if m.now-k.first >= session.Dedupe && (k.turn == nil || !slices.Contains(m.turns, k.turn)) {
			delete(m.known, id)
		}
	}
}

func (m *model) head() *modelTurn {
	for _, t := range m.turns {
		if t.pushing || !t.state.Over() {
			return t
		}
	}
	return nil
}

func (m *model) firstOpen() *modelTurn {
	for _, t := range m.turns {
		if !t.state.Over() {
			return t
		}
	}
	return nil
}

func (m *model) open() int {
	n := 0
	for _, t := range m.turns {
		if !t.state.Over() {
			n++
		}
	}
	return n
}

func (m *model) touch() { m.active, m.there = m.now, true }

// message counts a delivery.
func (m *model) message(id, kind string) (k *modelMessage, known bool) {
	k = m.known[id]
	if k != nil {
		k.deliveries++
		if m.there {
			m.touch()
		}
		return k, true
	}
	k = &modelMessage{deliveries: 1, first: m.now, kind: kind}
	m.known[id] = k
	m.touch()
	return k, false
}

func (m *model) takeBack(id string) *session.Receipt {
	k := m.known[id]
	if k == nil || k.shown == nil {
		return nil
	}
	t := m.find(k.shown.Turn)
	if t != nil && t.cursor == k.shown.To {
		t.cursor, t.delivered = k.shown.Before, k.before
		if k.doubt && t.sending == session.NotSending {
			t.sending = session.SendUnknown
		}
	}
	return k.shown
}

func (m *model) find(id string) *modelTurn {
	for _, t := range m.turns {
		if t.id == id {
			return t
		}
	}
	return nil
}

// drop takes a turn out; its message stays known as a question.
func (m *model) drop(t *modelTurn) {
	m.turns = slices.DeleteFunc(m.turns, func(o *modelTurn) bool { return o == t })
	for _, k := range m.known {
		if k.turn == t {
			k.turn, k.asked, k.shown = nil, true, nil
		}
		if k.shown != nil && k.shown.Turn == t.id {
			k.shown = nil
		}
	}
}

func (m *model) forget() (conversation string) {
	for _, t := range slices.Clone(m.turns) {
		m.drop(t)
	}
	for id, k := range m.known {
		if m.now-k.first >= session.Dedupe {
			delete(m.known, id)
		}
		k.asked, k.shown, k.stopped = true, nil, nil
	}
	conversation, m.conversation = m.conversation, ""
	m.there, m.lease, m.tokens, m.human = false, nil, -1, 0
	clear(m.windows)
	return conversation
}

// end ends a turn, and lets the oldest of too many go.
func (m *model) end(t *modelTurn, s session.State, failure string) {
	t.state, t.failure = s, failure
	t.delivered = s == session.Cancelled && !t.text
	m.touch()
	m.trim()
}

func (m *model) trim() {
	for {
		over := slices.DeleteFunc(slices.Clone(m.turns), func(o *modelTurn) bool { return !o.state.Over() })
		if len(over) <= m.rules.History {
			return
		}
		gone := slices.IndexFunc(over, func(o *modelTurn) bool { return o.delivered && !o.pushing })
		if gone < 0 {
			gone = slices.IndexFunc(over, func(o *modelTurn) bool { return !o.pushing })
		}
		if gone < 0 {
			return
		}
		m.drop(over[gone])
	}
}

// spend takes a token out of a bucket of n that refills over a window.
func (m *model) spend(n int, window time.Duration) bool {
	if m.tokens < 0 {
		m.tokens, m.refilled = float64(n), m.now
	}
	m.tokens = min(float64(n), m.tokens+float64(m.now-m.refilled)*float64(n)/float64(window))
	m.refilled = m.now
	const rounding = 1e-6
	if m.tokens < 1-rounding {
		return false
	}
	m.tokens--
	return true
}

func (m *model) revoke() {
	if m.lease == nil {
		return
	}
	if m.lease.sending == session.Sending {
		m.lease.sending, m.lease.pushing = session.SendUnknown, false
	}
	m.lease = nil
}

func (m *model) stopPushing(t *modelTurn) {
	if m.lease == t {
		m.revoke()
	}
	t.pushing = false
	m.trim()
}

func (m *model) cancel(t *modelTurn) {
	if m.lease == t {
		m.revoke()
	}
	if t.state.Over() {
		t.pushing = false
		return
	}
	m.end(t, session.Cancelled, "")
}

func (m *model) sendable() (w *modelWindow) {
	for _, o := range m.windows {
		if o.until > m.now && o.left > 0 && (w == nil || o.until < w.until) {
			w = o
		}
	}
	return w
}

// play takes random steps on one record and in the model, and says what differs: "" if nothing does.
type play struct {
	r      *rand.Rand
	rec    *Record
	m      *model
	clock  time.Time // as the record's store has it
	mutant string
	limits session.Limits
	tells  bool // what it does
	said   []string
}

func newPlay(seed uint64, mutant string) *play {
	r := rand.New(rand.NewPCG(seed, 1))
	rules := session.Options{Holder: "a", IdleTimeout: []time.Duration{time.Hour, 30 * time.Second}[r.IntN(2)], History: 1 + r.IntN(3)}
	p := &play{r: r, rec: &Record{}, m: newModel(rules), clock: time.UnixMilli(1_700_000_000_000), mutant: mutant}
	p.limits = session.Limits{Timeout: time.Duration(r.IntN(3)) * time.Minute, Concurrency: 1, Queue: 5, Open: 1 + r.IntN(3)}
	if r.IntN(2) == 0 {
		p.limits.Questions, p.limits.Window = 1+r.IntN(3), time.Minute
	}
	return p
}

func (p *play) say(format string, args ...any) {
	if p.tells {
		p.said = append(p.said, fmt.Sprintf(format, args...))
	}
}

// step begins a step: some time passes, and now and then somebody sets the clock.
func (p *play) step() *Step {
	d := time.Duration(p.r.IntN(3000)) * time.Millisecond
	switch p.r.IntN(20) {
	case 0:
		d = time.Duration(p.r.IntN(90)) * time.Minute
	case 1:
		d = time.Duration(p.r.IntN(40)) * time.Second
	case 2: // set back: what has passed since the step before is not known then
		p.clock = p.clock.Add(-time.Duration(p.r.IntN(3)+1) * time.Hour)
		p.say("the clock is set back")
		d = 0
		if p.rec.Clock != 0 {
			p.m.pass(time.Microsecond)
			return p.begin()
		}
	}
	p.clock = p.clock.Add(d)
	before := max(p.rec.Clock, p.rec.Active)
	st := p.begin()
	if before != 0 {
		d = st.now.sub(before)
	}
	p.m.pass(d)
	return st
}

func (p *play) begin() *Step {
	if p.mutant == "a clock that was set back is believed" {
		p.rec.Clock = At(p.clock)
		if p.rec.Active > p.rec.Clock {
			p.rec.Active = p.rec.Clock
		}
	}
	rules := p.m.rules
	switch p.mutant {
	case "history grows":
		rules.History += 2
	case "idle sessions stay":
		rules.IdleTimeout *= 100
	}
	return NewStep(p.rec, p.clock, Totals{Running: p.running(), Open: p.rec.OpenTurns()}, rules, false)
}

func (p *play) running() int {
	if p.rec.Lease != nil {
		return 1
	}
	return 0
}

func (p *play) id(kind string, n int) string { return fmt.Sprint(kind, p.r.IntN(n)+1) }

// compare says what differs between the record and the model.
func (p *play) compare() string {
	if p.m.there == p.rec.Tombstone() {
		return fmt.Sprintf("a session: %v, want %v", !p.rec.Tombstone(), p.m.there)
	}
	if p.rec.Conversation != p.m.conversation || len(p.rec.Turns) != len(p.m.turns) {
		return fmt.Sprintf("conversation %q and %d turns, want %q and %d", p.rec.Conversation, len(p.rec.Turns), p.m.conversation, len(p.m.turns))
	}
	if (p.rec.Lease != nil) != (p.m.lease != nil) || p.m.lease != nil && p.rec.Lease.Turn != p.m.lease.id {
		return fmt.Sprintf("lease %+v, want %+v", p.rec.Lease, p.m.lease)
	}
	for i, want := range p.m.turns {
		t := &p.rec.Turns[i]
		got := modelTurn{
			id: t.ID, state: t.State, attempts: t.Attempts, text: t.Answer > 0, failure: t.Failure, cursor: t.Cursor, delivered: t.Delivered,
			pushing: t.Pushing, media: t.Media, sends: t.Sends, sending: t.Sending.State, to: t.Sending.To, end: t.Sending.End,
		}
		have := *want
		have.accepted, have.deadline, have.since = 0, 0, 0
		if have.sending == session.NotSending {
			have.to, have.end = session.Cursor{}, false
		}
		if got != have {
			return fmt.Sprintf("turn %+v, want %+v", got, have)
		}
	}
	if bad := p.rec.Check(); p.rec.Format != 0 && bad != nil {
		return bad.Error()
	}
	return ""
}

// run takes so many steps.
func (p *play) run(steps int) string {
	for range steps {
		if bad := p.act(); bad != "" {
			return bad
		}
		if bad := p.compare(); bad != "" {
			return bad
		}
	}
	return ""
}

// story plays a seed once more, and tells it.
func story(seed uint64) string {
	p := newPlay(seed, "")
	p.tells = true
	p.run(storyLength)
	return strings.Join(p.said, "\n")
}
