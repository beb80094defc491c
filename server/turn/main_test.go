package turn_test

import (
	"context"
	"io"
	"log/slog"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/render"
	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/session/memory"
	"github.com/wechatbot/wechatbot-operator/server/session/records"
	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	pageBytes  = 2040
	deadline   = 4500 * time.Millisecond
	patience   = 5 * time.Second // of the channel with one delivery
	deliveries = 3
	leaseTTL   = 10 * time.Second
	timeout    = 2 * time.Minute
	rule       = "\n------------\n"
)

// The bot's own lines, and what its links look like in these tests.
const (
	waitingLine   = "正在思考，请稍等……"
	queuedLine    = "问题已收到，前面还有问题在处理，马上就轮到您。"
	busyLine      = "现在太忙了，没能回答这个问题，请过一会儿再问一次。"
	rateLine      = "您问得太快了，这个问题没有收下，请过几分钟再问。"
	tooManyLine   = "您前面的问题还没有答完，这个问题没有收下，请等答完再问。"
	clearedLine   = "对话已清空，我们重新开始吧。"
	stoppedLine   = "（已停止回答）"
	nothingToStop = "现在没有正在进行的回答。"
	nothingYet    = "还没有可以查看的回答，直接输入问题就可以。"
	emptyLine     = "抱歉，这个问题我没有得到答案，请换个说法再问一次。"
	failedLine    = "抱歉，这个问题没有回答成功。"
	timedOutLine  = "抱歉，这个问题想得太久，没有等到答案。"
	quotaLine     = "抱歉，今天的使用额度已经用完，请稍后再来。"
	configLine    = "抱歉，机器人的设置有问题，暂时无法回答，请联系管理员。"
	cutLine       = "（回答中断了，后面的内容没有收到）"

	more      = `<a href="tap:1">继续</a>（或回复 1）`
	retryLink = `<a href="tap:%2Fretry">再问一次</a>`
)

var number = regexp.MustCompile(`(<a href="tap:1">继续) \d+/\d+</a>`)

// unnumbered is a reply without the number of its page.
func unnumbered(text string) string { return number.ReplaceAllString(text, "$1</a>") }

func link(label, send string) string {
	return `<a href="tap:` + url.QueryEscape(send) + `">` + label + `</a>`
}

// linkAs is a link whose tap is known again.
func linkAs(label, send, id string) string {
	return `<a href="tap:` + url.QueryEscape(send) + `?` + id + `">` + label + `</a>`
}

type renderer struct{}

func (renderer) Text(a session.Answer) string {
	var files []render.File
	for _, f := range a.Files {
		files = append(files, render.File{Name: f.Name, Type: f.Type, URL: f.URL})
	}
	return render.Text(a.Markdown, files, render.Options{})
}
func (renderer) Partial(a session.Answer) string { return render.Partial(a.Markdown, render.Options{}) }
func (renderer) Page(text string, from, size int) (end, next int) {
	return render.Page(text, from, size)
}

// setup says what a bot is made of. What is left out is the usual.
type setup struct {
	dify     turn.Dify // else a client of sim
	sim      *difysim.Server
	simmed   difysim.Options // for a sim of its own
	store    session.Store   // else a memory store of its own
	settings func(*turn.Settings)
	pusher   turn.Pusher // nil: the bot has no access to the account's API
	media    turn.Media  // nil: the bot reads text only
	agents   turn.Agents // nil: nobody is there to be handed over to
	suggests bool        // Dify is asked for suggestions
	forms    turn.Forms  // nil: nobody can submit one
	log      io.Writer
	tracer   turn.Tracer // nil: nothing is traced
	idle     bool        // it claims nothing

	menuShown func() bool
	wholeLink func(label string, k session.Key, ended time.Time) string
}

// bot is an engine that runs, with what is around it.
type bot struct {
	t        reporter
	engine   *turn.Engine
	sim      *difysim.Server
	store    session.Store
	settings turn.Settings
	registry *prometheus.Registry
	end      func() // ends Run and waits for it; may be called again
}

// reporter is what is needed of a test to tell what is wrong.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
}

// store is one process' store. Others can be made of the same records.
type store struct {
	*records.Store
	records *memory.Records
}

func newStore() store { return newStoreOf(10) }

func newStoreOf(history int) store {
	o := session.Options{IdleTimeout: 24 * time.Hour, History: history, LeaseTTL: leaseTTL}
	return store{records: memory.New(o, 64<<20)}.of("pod-1")
}

// of is the store of the process of that name, on the same records.
func (s store) of(process string) store {
	return store{records.New(s.records.Port(process), process), s.records}
}

func usual() turn.Settings {
	return turn.Settings{
		Deadline: deadline, HoldsPerMinute: 6000, Suggestions: true, Texts: turn.NewTexts(turn.Chinese, nil),
		Limits: session.Limits{Timeout: timeout, Questions: 1000, Window: 10 * time.Minute, Concurrency: 50, Queue: 500, Open: 5},
	}
}

// start starts a bot, which ends with the test.
func start(t testing.TB, o setup) *bot {
	t.Helper()
	b := &bot{t: t, sim: o.sim, store: o.store, settings: usual(), registry: prometheus.NewRegistry()}
	if b.sim == nil {
		b.sim = difysim.New(o.simmed)
		t.Cleanup(b.sim.Close)
	}
	if o.dify == nil {
		o.dify = difyOf(t, b.sim)
	}
	if b.store == nil {
		b.store = newStore()
	}
	if o.idle {
		b.store = idle{b.store}
	}
	if o.settings != nil {
		o.settings(&b.settings)
	}
	log := slog.New(slog.DiscardHandler)
	if o.log != nil {
		log = slog.New(slog.NewTextHandler(o.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	options := options(o.dify, b.store)
	options.Metrics, options.Log, options.MenuShown, options.Pusher = turn.NewMetrics(b.registry), log, o.menuShown, o.pusher
	options.Media, options.Agents, options.Tracer = o.media, o.agents, o.tracer
	options.WholeLink = o.wholeLink
	if options.Forms = o.forms; o.forms != nil {
		options.LinkAs = linkAs
	}
	if o.suggests {
		options.Suggester = difyOf(t, b.sim)
	}
	var err error
	if b.engine, err = turn.New(options, b.settings); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { b.engine.Run(ctx) })
	b.end = func() { cancel(); run.Wait() }
	t.Cleanup(b.end)
	return b
}

func options(d turn.Dify, s session.Store) turn.Options {
	return turn.Options{
		Store: s, Dify: d, Renderer: renderer{}, Metrics: turn.NewMetrics(prometheus.NewRegistry()),
		Log: slog.New(slog.DiscardHandler), Link: link,
		Alias:     func(string) string { return "alias" },
		PageBytes: pageBytes, Deliveries: deliveries, Patience: patience, HoldFor: 6 * time.Second,
	}
}

// difyOf is a real client of a stand-in, without a socket between them.
func difyOf(t testing.TB, sim *difysim.Server) *dify.Client {
	t.Helper()
	c, err := dify.New(dify.Target{BaseURL: "http://dify.test", Key: "app-test"}, dify.Options{
		Transport: sim.Transport(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// count reads a counter or gauge off the bot's metrics: the sum over the labels that are not given.
func (b *bot) count(name string, labels ...string) float64 {
	b.t.Helper()
	families, err := b.registry.Gather()
	if err != nil {
		b.t.Errorf("gathering metrics: %v", err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != "wechatbot_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			var pairs []string
			for _, l := range m.GetLabel() {
				pairs = append(pairs, l.GetName()+"="+l.GetValue())
			}
			if all := " " + strings.Join(pairs, " ") + " "; len(labels) == 0 || strings.Contains(all, " "+strings.Join(labels, " ")+" ") {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// follower talks to a bot over a channel that behaves as WeChat does: it waits 5 s for a reply, then delivers again,
// three times in all.
type follower struct {
	*bot
	name string
	sent int

	// tapped is the ID of the link by which the follower sends; empty if it is typed.
	tapped string

	// window is what each of the follower's messages opens; nil is none.
	window *session.Window

	// route tells which bot a delivery goes to; nil is always the same.
	route func(delivery int) *bot
	// lose tells which deliveries lose their connection, how long after they began; nil is none.
	lose func(delivery int) (after time.Duration, lost bool)
	// late tells which deliveries' replies were written, but came too late for the channel; nil is none.
	late func(delivery int) bool
}

func (b *bot) follower(name string) *follower { return &follower{bot: b, name: name} }

// exchange is what became of one message.
type exchange struct {
	id       string
	kind     turn.Kind // Held if no delivery was replied to
	text     string    // without the number of its page
	whole    string
	delivery int           // that was replied to
	after    time.Duration // since the message was sent
	ready    time.Time
}

// Send sends a text and waits until the channel has a reply or gives up.
func (f *follower) Send(text string) exchange {
	f.sent++
	return f.push(f.name+"-"+strconv.Itoa(f.sent), text)
}

// Begin sends a text and does not wait.
func (f *follower) Begin(text string) <-chan exchange {
	f.sent++
	id := f.name + "-" + strconv.Itoa(f.sent)
	done := make(chan exchange, 1)
	go func() { done <- f.push(id, text) }()
	return done
}

// push delivers a message until it is replied to.
func (f *follower) push(id, text string) exchange {
	f.t.Helper()
	began := time.Now()
	for n := 1; n <= deliveries; n++ {
		if r, ok := f.deliver(id, text, n); ok {
			return exchange{id: id, kind: r.Kind, text: unnumbered(r.Text), whole: r.Text, delivery: n, after: time.Since(began), ready: r.Ready}
		}
	}
	return exchange{id: id, kind: turn.Held, delivery: deliveries, after: time.Since(began)}
}

// deliver makes one delivery, and tells whether the follower got what it was replied with.
func (f *follower) deliver(id, text string, n int) (turn.Reply, bool) {
	f.t.Helper()
	began := time.Now()
	over, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	open := over
	if f.lose != nil {
		if after, lost := f.lose(n); lost {
			var cancel context.CancelFunc
			open, cancel = context.WithTimeout(over, after)
			defer cancel()
		}
	}
	engine := f.engine
	if f.route != nil {
		engine = f.route(n).engine
	}
	r := engine.Text(open, turn.Message{Follower: f.name, ID: id, Text: text, Delivery: n, Received: began, Window: f.window, Tap: f.tapped})
	f.check(r, time.Since(began))
	if r.Kind == turn.Held && open.Err() == nil {
		f.t.Errorf("delivery %d of %s was left alone %v before the channel gave it up", n, id, patience-time.Since(began))
	}
	if r.Kind == turn.Held || open.Err() != nil {
		engine.Unsend(r)
		<-over.Done()
		return r, false
	}
	if f.late != nil && f.late(n) {
		<-over.Done()
		return r, false
	}
	return r, true
}

// drop delivers a message once, over a connection that is gone at once.
func (f *follower) drop(text string) {
	f.t.Helper()
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	r := f.engine.Text(gone, turn.Message{Follower: f.name, ID: "dropped", Text: text, Delivery: 1, Received: time.Now()})
	synctest.Wait() // what it asks for is recorded all the same
	if r.Kind != turn.Held {
		f.t.Errorf("a connection that is gone got %s %q", r.Kind, r.Text)
	}
}

// check says what no reply may be.
func (f *follower) check(r turn.Reply, took time.Duration) {
	f.t.Helper()
	switch {
	case r.Kind == turn.Held || r.Kind == turn.Silent || r.Kind == turn.Pushed || r.Kind == turn.HandedOver:
		if r.Text != "" {
			f.t.Errorf("a %s reply has a text: %q", r.Kind, r.Text)
		}
	case strings.TrimSpace(r.Text) == "":
		f.t.Errorf("a reply of kind %s has no text", r.Kind)
	}
	if len(r.Text) > pageBytes || !utf8.ValidString(r.Text) {
		f.t.Errorf("a reply of %d bytes, at most %d of UTF-8 can be shown", len(r.Text), pageBytes)
	}
	if strings.Count(r.Text, "<a ") != strings.Count(r.Text, "</a>") {
		f.t.Errorf("a link is cut: %q", r.Text)
	}
	if took > patience {
		f.t.Errorf("a reply took %v", took)
	}
}

// body is what a reply shows of an answer: without whose question it is, and without links and lines at its end.
func body(text string) string {
	if _, rest, ok := strings.Cut(text, rule); ok {
		text = rest
	}
	for _, foot := range []string{more, retryLink, cutLine, stoppedLine} {
		text = strings.TrimSuffix(strings.TrimRight(text, "\n"), foot)
	}
	return strings.TrimSpace(text)
}

// squeeze drops white space: pages are cut at it.
func squeeze(s string) string { return strings.Join(strings.Fields(s), "") }

// echo is what the stand-in's answer of so many characters looks like to a follower.
func echo(question string, length int) string {
	return render.Text(difysim.Echo(question, length), nil, render.Options{})
}

// quoted is an answer under its question.
func quoted(question, text string) string { return question + rule + text }

// want checks a reply.
func (x exchange) want(t testing.TB, kind turn.Kind, text string) {
	t.Helper()
	if x.kind != kind || x.text != text {
		t.Errorf("got a reply of kind %s\n%s\nwant kind %s\n%s", x.kind, x.text, kind, text)
	}
}

// wantAt checks when a reply came: to which delivery, and how long after the message, to the tenth of a second.
func (x exchange) wantAt(t testing.TB, delivery int, after time.Duration) {
	t.Helper()
	if x.delivery != delivery || x.after.Round(100*time.Millisecond) != after {
		t.Errorf("the reply came to delivery %d after %v, want delivery %d after %v", x.delivery, x.after, delivery, after)
	}
}

// lostAll loses every delivery's connection so long after it began.
func lostAll(after time.Duration) func(int) (time.Duration, bool) {
	return func(int) (time.Duration, bool) { return after, true }
}

// calls checks how often Dify was asked, ever.
func (b *bot) calls(want int) {
	b.t.Helper()
	if got := b.sim.CallCount(); got != want {
		b.t.Errorf("Dify was called %d times, want %d", got, want)
	}
}

// turns is what the store has of a follower.
func (f *follower) turns() []session.Turn {
	f.t.Helper()
	s, err := f.store.Get(context.Background(), f.name)
	if err != nil {
		f.t.Errorf("looking at a session: %v", err)
	}
	return s.Turns
}

func steady(total time.Duration, length int) difysim.Behaviour {
	return difysim.Behaviour{FirstText: total / 4, Total: total, Length: length}
}

func simmed(b difysim.Behaviour) difysim.Options { return difysim.Options{Behaviour: b} }

func holds(n int) func(*turn.Settings) { return func(s *turn.Settings) { s.HoldsPerMinute = n } }
