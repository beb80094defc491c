package turn_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/wechatbot/wechatbot-operator/server/render"
	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

// A story is drawn before it is played: what is wrong with it can then be told outside of the bubble it was played in.
type story struct {
	holds       int
	concurrency int
	acts        []act
	overlap     bool // a follower sends the next message without waiting for the reply to the one before

	wild bool          // followers use commands, and there are two replicas
	ends time.Duration // when the first replica ends, if it is wild; 0 is never
}

// act is one message of one follower, sent at a time, with what happens to its deliveries.
type act struct {
	at       time.Duration
	who      int
	text     string
	fates    [deliveries]fate
	replicas [deliveries]int // which of them the deliveries go to
}

// fate is what becomes of a delivery.
type fate int

const (
	arrives   fate = iota
	closed         // at once
	closesMid      // after two seconds
	late           // written, and too late for the channel; only where there is another delivery
)

// The manners in which Dify answers; a question names the one it gets.
var manners = map[string]difysim.Behaviour{
	"快":  {Length: 60},
	"长":  {Total: 2 * time.Second, Length: 1500},
	"慢":  {FirstText: 2 * time.Second, Total: 8 * time.Second, Length: 300},
	"很慢": {FirstText: 5 * time.Second, Total: 30 * time.Second, Length: 900},
	"哑":  {FirstText: 18 * time.Second, Total: 20 * time.Second, Length: 100},
	"拒":  {Fault: difysim.Fault{Kind: difysim.HTTPError, Name: "unauthorized-bad-key.401"}},
	"断":  {Total: 6 * time.Second, Length: 200, Fault: difysim.Fault{Kind: difysim.CutAfter, Deltas: 30}},
	"抖":  {Total: 3 * time.Second, Length: 60}, // the first two calls are refused: too many
	"空":  {Total: time.Second, Fault: difysim.Fault{Kind: difysim.EmptyAnswer}},
}

const falters = 2

func mannerOf(question string) string {
	manner, _, _ := strings.Cut(question, "-")
	return manner
}

func drawStory(t *rapid.T, wild bool) story {
	s := story{wild: wild, overlap: rapid.Bool().Draw(t, "overlap"), holds: rapid.SampledFrom([]int{0, 2, 1000}).Draw(t, "holds"), concurrency: rapid.SampledFrom([]int{1, 2, 50}).Draw(t, "concurrency")}
	names := []string{"快", "长", "慢", "很慢", "哑", "拒", "断", "抖", "空"}
	at := time.Duration(0)
	for i := range rapid.IntRange(1, 12).Draw(t, "messages") {
		at += time.Duration(rapid.IntRange(0, 80).Draw(t, "pause"))*100*time.Millisecond + time.Millisecond
		a := act{at: at, who: rapid.IntRange(0, 2).Draw(t, "who"), text: "1"}
		if rapid.IntRange(0, 2).Draw(t, "fetch") > 0 {
			a.text = fmt.Sprintf("%s-%d？", rapid.SampledFrom(names).Draw(t, "manner"), i)
		}
		if wild {
			a.text = rapid.SampledFrom([]string{a.text, a.text, a.text, "/stop", "/clear", "/retry"}).Draw(t, "command")
		}
		for n := range a.fates {
			if wild {
				a.replicas[n] = rapid.IntRange(0, 1).Draw(t, "replica")
			}
			last := late
			if n == deliveries-1 || s.overlap { // what a message in between has shown cannot be put in order with what was lost
				last = closesMid
			}
			if rapid.Bool().Draw(t, "trouble") {
				a.fates[n] = fate(rapid.IntRange(int(arrives), int(last)).Draw(t, "fate"))
			}
		}
		s.acts = append(s.acts, a)
	}
	if wild {
		s.ends = time.Duration(rapid.IntRange(0, 40).Draw(t, "end")) * time.Second
	}
	return s
}

// receipts is a store that remembers what the engine has recorded to be shown.
type receipts struct {
	store
	last *lastReceipts
}

type lastReceipts struct {
	mu sync.Mutex
	by map[session.Key]session.Receipt // by the message that was replied to
}

func (r receipts) Show(ctx context.Context, follower string, got session.Receipt) error {
	err := r.store.Show(ctx, follower, got)
	if err == nil {
		r.last.mu.Lock()
		r.last.by[session.Key{Follower: follower, ID: got.Message}] = got
		r.last.mu.Unlock()
	}
	return err
}

// play plays a story to its end, where every follower has fetched what there is.
type play struct {
	*bot
	bots          []*bot
	wild, overlap bool

	store receipts
	mu    sync.Mutex
	wrong []string
	asked map[session.Key]string // the questions that were accepted
	seen  map[session.Key][]shown
}

// shown is a piece of a turn's text that a follower saw.
type shown struct {
	from, to int
	text     string
	end      bool
}

func (p *play) Helper() {}

func (p *play) Errorf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wrong = append(p.wrong, fmt.Sprintf(format, args...))
}

func (p *play) message(a act, id string) exchange {
	f := &follower{bot: p.bot, name: fmt.Sprint("f", a.who)}
	f.route = func(n int) *bot { return p.bots[a.replicas[n-1]] }
	f.lose = func(n int) (time.Duration, bool) {
		switch a.fates[n-1] {
		case closed:
			return 0, true
		case closesMid:
			return 2 * time.Second, true
		default:
			return 0, false
		}
	}
	f.late = func(n int) bool { return a.fates[n-1] == late }
	x := f.push(id, a.text)
	p.note(a, x)
	return x
}

// note takes down what a message has brought.
func (p *play) note(a act, x exchange) {
	k := session.Key{Follower: fmt.Sprint("f", a.who), ID: x.id}
	p.store.last.mu.Lock()
	r, recorded := p.store.last.by[k]
	p.store.last.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if a.text[0] != '1' && a.text[0] != '/' && x.kind != turn.Refused {
		p.asked[k] = a.text
	}
	switch x.kind {
	case turn.Answer, turn.Page, turn.Partial, turn.Failed:
		if !recorded {
			p.wrong = append(p.wrong, fmt.Sprintf("a reply of kind %s to %s has no receipt", x.kind, x.id))
		}
		of := session.Key{Follower: k.Follower, ID: r.Turn}
		p.seen[of] = append(p.seen[of], shown{from: r.From.At, to: r.To.At, text: squeeze(body(x.text)), end: r.End})
	case turn.Refused:
		if x.text != tooManyLine || a.text == "1" || a.text == "/stop" || a.text == "/clear" {
			p.wrong = append(p.wrong, fmt.Sprintf("%s was refused: %s", a.text, x.text))
		}
	case turn.Pushed, turn.HandedOver:
		p.wrong = append(p.wrong, fmt.Sprintf("%s is %s, but this bot neither pushes nor hands over", x.id, x.kind))
	case turn.Silent:
		if !p.wild && !p.overlap { // else stopped, cleared, or shown as the reply to another message
			p.wrong = append(p.wrong, fmt.Sprintf("%s got no reply", a.text))
		}
	case turn.Waiting, turn.Notice, turn.Held:
	}
}

// judge compares what was seen with what was answered.
func (p *play) judge() {
	for k, question := range p.asked {
		have, _ := p.store.Get(context.Background(), k.Follower)
		var t session.Turn
		for _, one := range have.Turns {
			if one.Key == k {
				t = one
			}
		}
		if p.wild && (t.State == 0 || t.State == session.Cancelled && t.Delivered) { // cleared, or stopped and told so
			continue
		}
		if !t.State.Over() || !t.Delivered {
			p.Errorf("%s: is %s, delivered %v", question, t.State, t.Delivered)
			continue
		}
		p.judgeText(t, p.seen[k])
		if p.wild {
			continue // asked again by another replica, or by the follower
		}
		calls := len(p.sim.CallsFor(question))
		want := 1
		if mannerOf(question) == "抖" {
			want += falters
		}
		if calls != want {
			p.Errorf("%s: Dify was called %d times, want %d", question, calls, want)
		}
	}
}

func (p *play) judgeText(t session.Turn, seen []shown) {
	text := render.Text(t.Answer.Markdown, nil, render.Options{})
	covered := make([]bool, len(text))
	end := false
	for _, s := range seen {
		end = end || s.end
		if s.to > len(text) || s.from > s.to {
			p.Errorf("%s: bytes %d to %d were shown of %d", t.Question, s.from, s.to, len(text))
			return
		}
		if piece := squeeze(text[s.from:s.to]); piece != "" && piece != s.text {
			p.Errorf("%s: shown was %q, want %q", t.Question, s.text, piece)
		}
		for i := s.from; i < s.to; i++ {
			covered[i] = true
		}
	}
	if !end {
		p.Errorf("%s: nobody saw its end", t.Question)
	}
	for i, c := range covered {
		if !c {
			p.Errorf("%s: byte %d of %d was never shown", t.Question, i, len(text))
			return
		}
	}
	whole := echo(t.Question, manners[mannerOf(t.Question)].Length)
	switch mannerOf(t.Question) {
	case "拒", "空":
		if text != "" {
			p.Errorf("%s: answered %q", t.Question, text)
		}
	case "断":
		if t.Failure != string(turn.CutShort) || text == "" || !strings.HasPrefix(whole, text) {
			p.Errorf("%s: %s %q", t.Question, t.Failure, text)
		}
	default:
		// One that waited long for its place can end at its deadline, with the part that came.
		overtime := t.Failure == string(turn.CutShort) && t.Deadline.Sub(t.FinishedAt) < time.Second && strings.HasPrefix(whole, text)
		if text != whole && !overtime {
			p.Errorf("%s: answered %q", t.Question, text)
		}
	}
}

func (s story) play(t *testing.T) (wrong []string) {
	synctest.Test(t, func(t *testing.T) {
		p := &play{
			store: receipts{newStoreOf(50), &lastReceipts{by: map[session.Key]session.Receipt{}}},
			asked: map[session.Key]string{}, seen: map[session.Key][]shown{}, wild: s.wild, overlap: s.overlap,
		}
		sim := difysim.New(difysim.Options{})
		t.Cleanup(sim.Close)
		for _, process := range []string{"pod-1", "pod-2"} {
			b := start(t, setup{sim: sim, store: receipts{p.store.of(process), p.store.last}, settings: func(set *turn.Settings) {
				set.HoldsPerMinute, set.Limits.Concurrency = s.holds, s.concurrency
			}})
			b.t = p
			p.bots = append(p.bots, b)
		}
		p.bot = p.bots[1]
		var counting sync.Mutex
		counts := map[string]int{}
		p.sim.Script(func(r difysim.Request) difysim.Behaviour {
			counting.Lock()
			defer counting.Unlock()
			counts[r.Query]++
			manner := mannerOf(r.Query)
			b := manners[manner]
			if manner == "抖" && counts[r.Query] <= falters {
				b.Fault = difysim.Fault{Kind: difysim.TooManyRequests}
			}
			return b
		})
		var messages sync.WaitGroup
		var before [3]chan struct{} // closed when the follower's message before is over
		for i, a := range s.acts {
			previous, over := before[a.who], make(chan struct{})
			before[a.who] = over
			messages.Go(func() {
				defer close(over)
				<-time.After(a.at)
				if previous != nil && !s.overlap {
					<-previous
				}
				p.message(a, fmt.Sprint("m", i))
			})
		}
		if s.ends > 0 {
			messages.Go(func() {
				<-time.After(s.ends)
				p.bots[0].end()
			})
		}
		messages.Wait()
		for who := range 3 {
			p.readAll(who)
		}
		p.judge()
		wrong = p.wrong
	})
	return wrong
}

// readAll fetches until there is nothing unseen.
func (p *play) readAll(who int) {
	for i := range 60 {
		x := p.message(act{who: who, text: "1"}, fmt.Sprint("r", i))
		have, _ := p.store.Get(context.Background(), fmt.Sprint("f", who))
		left := len(have.Turns) > 0 && x.kind == turn.Held
		for _, t := range have.Turns {
			left = left || !t.Delivered
		}
		if !left {
			return
		}
	}
	p.Errorf("follower %d is not done after 60 fetches", who)
}

// However followers ask and fetch, whatever happens to the deliveries, and however Dify answers: every question is
// answered or refused in words, asked of Dify once, and its whole text is seen.
func TestCrowd_EveryQuestionAnsweredWhole(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		s := drawStory(r, false)
		if wrong := s.play(t); len(wrong) > 0 {
			r.Fatalf("%s\n%+v", strings.Join(wrong, "\n"), s)
		}
	})
}

// The same with commands, with two replicas, and with the end of one: what was not stopped or cleared is answered.
func TestCommandsAndReplicasLoseNothingElse(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		s := drawStory(r, true)
		if wrong := s.play(t); len(wrong) > 0 {
			r.Fatalf("%s\n%+v", strings.Join(wrong, "\n"), s)
		}
	})
}
