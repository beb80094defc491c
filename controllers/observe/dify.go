package observe

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/server/dify"
)

// Dify is what is known of a bot's app.
type Dify struct {
	// Off: the operator asks no Dify. Then the rest is empty.
	Off bool
	// Asked: the app answered, or did not, for this address and key. Otherwise the rest is empty.
	Asked bool
	// Changed: it was asked before, with another address or key, so that an older answer is void.
	Changed bool
	// App is what it says of itself.
	App v1alpha1.DifyStatus
	// Missing are variables that the app requires and the bot does not set.
	Missing []string
	// Err is why there is no answer; *dify.Error if it came of a call.
	Err error
	// Next is when it will be asked again.
	Next time.Time

	answered <-chan struct{} // closed when there is an answer; nil if none is on its way
}

const (
	probeTimeout  = 10 * time.Second // of one call
	probeWorkers  = 8
	maxProbeQueue = 16 << 10
)

// Prober asks Dify apps what they are, beside the reconciles: one that hangs holds up no other bot. It asks when the
// address or the key has changed and when an answer is too old, and keeps one answer a bot; of keys it keeps but a
// fingerprint that is of no use outside of the process.
type Prober struct {
	up, down time.Duration
	now      func() time.Time
	answered func(context.Context, types.NamespacedName, Dify)
	client   *http.Client
	pepper   []byte
	queue    chan *question

	mu    sync.Mutex
	known map[types.NamespacedName]*answer
}

// ProberOptions are what a Prober needs.
type ProberOptions struct {
	// Up and Down are how long an answer holds: that of an app that can be used, and any other. 0 means 10 min, 1 min.
	Up, Down time.Duration
	// Now is the clock.
	Now func() time.Time
	// Answered is called, from the Prober's goroutines, with an answer about a bot that nobody expects.
	Answered func(context.Context, types.NamespacedName, Dify)
}

type probeTarget struct {
	bot     types.NamespacedName
	baseURL string
	inputs  map[string]v1alpha1.InputValue
}

type question struct {
	probeTarget

	key         serverconfig.Secret
	fingerprint [sha256.Size]byte
	done        chan struct{}
}

type answer struct {
	fingerprint [sha256.Size]byte
	required    []string // variables of the app
	dify        Dify
	expected    bool // a reconcile will take it, and needs no waking
}

// NewProber makes a Prober; it works while Start runs.
func NewProber(o ProberOptions) *Prober {
	if o.Up == 0 {
		o.Up = 10 * time.Minute
	}
	if o.Down == 0 {
		o.Down = time.Minute
	}
	p := &Prober{
		up: o.Up, down: o.Down, now: o.Now, answered: o.Answered,
		pepper: make([]byte, sha256.Size),
		queue:  make(chan *question, maxProbeQueue),
		known:  map[types.NamespacedName]*answer{},
		client: &http.Client{Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: probeTimeout}).DialContext,
			TLSHandshakeTimeout:    probeTimeout,
			MaxIdleConns:           probeWorkers,
			MaxIdleConnsPerHost:    1,
			IdleConnTimeout:        30 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		}},
	}
	_, _ = rand.Read(p.pepper) // it never fails
	return p
}

func target(bot *v1alpha1.WechatBot) probeTarget {
	return probeTarget{
		bot: types.NamespacedName{Namespace: bot.Namespace, Name: bot.Name}, baseURL: bot.Spec.Dify.BaseURL,
		inputs: bot.Spec.Dify.Inputs,
	}
}

// Look gives what is known of the target with the key, and has it asked if that is nothing or too old. Without a key
// nothing can be known.
func (p *Prober) Look(t probeTarget, key serverconfig.Secret) Dify {
	if key == "" {
		return Dify{Changed: true}
	}
	fingerprint := p.fingerprint(t.baseURL, key)
	p.mu.Lock()
	defer p.mu.Unlock()
	a, ok := p.known[t.bot]
	if !ok {
		a = &answer{}
		p.known[t.bot] = a
	}
	if ok && a.fingerprint != fingerprint {
		*a = answer{dify: Dify{Changed: true}}
	}
	a.fingerprint = fingerprint
	if a.dify.answered == nil && (!a.dify.Asked || !p.now().Before(a.dify.Next)) {
		done := make(chan struct{})
		select {
		case p.queue <- &question{t, key, fingerprint, done}:
			a.dify.answered = done
		default: // the next look asks
		}
	}
	a.expected = false
	found := a.dify
	found.Missing = missing(a.required, t.inputs)
	if found.answered != nil && (!found.Asked || found.usable()) {
		found.Next = p.now().Add(p.up) // what is on its way is told if it is anything else
	}
	return found
}

// usable tells whether the app can be talked to.
func (d *Dify) usable() bool { return d.Err == nil && Chats(d.App.Mode) && len(d.Missing) == 0 }

// Expect has the answer that is on its way left to an Await that is to follow, or to the reconcile's repetition.
func (p *Prober) Expect(bot *v1alpha1.WechatBot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a, ok := p.known[target(bot).bot]; ok {
		a.expected = a.dify.answered != nil
	}
}

// Await waits for an answer that is on its way, but not for long.
func (p *Prober) Await(ctx context.Context, bot *v1alpha1.WechatBot, d *Dify, atMost time.Duration) {
	if d.answered == nil {
		return
	}
	patience := time.NewTimer(atMost)
	defer patience.Stop()
	select {
	case <-ctx.Done():
	case <-patience.C:
	case <-d.answered:
	}
	t := target(bot)
	p.mu.Lock()
	defer p.mu.Unlock()
	a, ok := p.known[t.bot]
	if !ok {
		return
	}
	a.expected = false
	if a.dify.Asked { // also where it came at the last moment: it woke nobody
		*d = a.dify
		d.Missing = missing(a.required, t.inputs)
	}
}

// Forget drops what is known of a bot that is gone.
func (p *Prober) Forget(bot types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.known, bot)
}

// Start asks until ctx ends, and returns when all its goroutines have.
func (p *Prober) Start(ctx context.Context) error {
	var workers sync.WaitGroup
	for range probeWorkers {
		workers.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case q := <-p.queue:
					p.answer(ctx, q)
				}
			}
		})
	}
	workers.Wait()
	p.client.CloseIdleConnections()
	return nil
}

func (p *Prober) answer(ctx context.Context, q *question) {
	found, required := p.ask(ctx, q)
	if ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	a, ok := p.known[q.bot]
	current := ok && a.fingerprint == q.fingerprint
	expected := ok && a.expected
	if current {
		*a = answer{fingerprint: q.fingerprint, dify: found, required: required}
	}
	p.mu.Unlock()
	close(q.done)
	if current && !expected {
		p.answered(ctx, q.bot, found)
	}
}

func (p *Prober) ask(ctx context.Context, q *question) (Dify, []string) {
	d := Dify{Asked: true}
	var parameters dify.Parameters
	c, err := dify.New(dify.Target{BaseURL: q.baseURL, Key: q.key.Reveal()}, dify.Options{
		Transport: p.client.Transport, FirstEventTimeout: probeTimeout, UserAgent: "wechatbot-operator",
	})
	if err == nil {
		d.App, err = info(ctx, c)
	}
	if err == nil {
		parameters, err = c.Parameters(ctx)
	}
	d.Err, d.Next, d.Missing = err, p.now().Add(p.up), missing(parameters.Required(), q.inputs)
	if !d.usable() {
		d.Next = p.now().Add(p.down)
	}
	return d, parameters.Required()
}

// info reads what the app says of itself. Releases before about 1.4 do not say its mode, the oldest nothing at all.
func info(ctx context.Context, c *dify.Client) (v1alpha1.DifyStatus, error) {
	i, err := c.Info(ctx)
	if e, ok := errors.AsType[*dify.Error](err); ok && e.Kind == dify.NotFound {
		return v1alpha1.DifyStatus{}, nil
	}
	return v1alpha1.DifyStatus{AppName: i.Name, Mode: i.Mode, Version: i.Version}, err
}

// Chats tells whether an app of this mode can be talked to; an empty mode is that of a release that does not say.
func Chats(mode string) bool { return mode != "workflow" && mode != "completion" }

func missing(required []string, inputs map[string]v1alpha1.InputValue) []string {
	var names []string
	for _, name := range required {
		if _, set := inputs[name]; !set {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (p *Prober) fingerprint(baseURL string, key serverconfig.Secret) [sha256.Size]byte {
	mac := hmac.New(sha256.New, p.pepper)
	mac.Write([]byte(baseURL + "\n" + strings.TrimSpace(key.Reveal())))
	return [sha256.Size]byte(mac.Sum(nil))
}
