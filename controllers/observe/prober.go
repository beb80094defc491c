package observe

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
)

// ProbeWorkers is how many apps are asked at once, over all hosts.
const ProbeWorkers = 256

// backoff are the distances between the tries of an app that cannot be used.
var backoff = []time.Duration{2 * time.Second, 5 * time.Second, 15 * time.Second, time.Minute}

// Prober is the controller that asks Dify apps what they are. It has a queue of its own, so that one that hangs delays
// no bot's reconcile, and a limit for each host, so that it delays no bot of another host either. It keeps one answer a
// bot; of keys it keeps but a fingerprint that is of no use outside of the process.
type Prober struct {
	options   ProberOptions
	pepper    []byte
	transport http.RoundTripper // nil but in tests

	waking // the bots that Look was called for

	mu    sync.Mutex
	known map[types.NamespacedName]*question
	hosts hosts
}

// ProberOptions are what a Prober needs.
type ProberOptions struct {
	// Bots reads WechatBots, from a cache. Secrets reads Secrets live.
	Bots, Secrets client.Reader
	// Up is how long the answer of an app that can be used holds; 0 means 10 min. Another one is asked again after 2, 5
	// and 15 seconds, and then every Down, at most a minute apart; 0 means 1 min.
	Up, Down time.Duration
	// Now is the clock.
	Now func() time.Time
	// Part gives a part of a duration that is another one for each call, from 0 to all of it.
	Part func(time.Duration) time.Duration
	// Answered is called with each new answer about a bot.
	Answered func(context.Context, types.NamespacedName, Dify)
}

// question is what is known of one bot's address, key and authority.
type question struct {
	fingerprint [sha256.Size]byte
	since       time.Time // when it was first asked for
	host        string    // where the bot was last asked, or waits
	next        time.Time // when it is due again
	failures    int       // in a row
	changed     bool      // another one was known before, and this one was never answered well
	confirmed   bool
	required    []string // variables of the app
	dify        Dify
}

// NewProber makes a Prober. It works while a controller with its Source runs.
func NewProber(o ProberOptions) *Prober {
	if o.Up == 0 {
		o.Up = 10 * time.Minute
	}
	if o.Down == 0 {
		o.Down = time.Minute
	}
	p := &Prober{options: o, pepper: make([]byte, sha256.Size), known: map[types.NamespacedName]*question{}, hosts: hosts{}}
	_, _ = rand.Read(p.pepper) // it never fails
	return p
}

// Look returns what is known of the bot's app with the key and authority, and has it asked if that is nothing or too
// old. After a start of the operator a bot whose status says that its app can be used is asked within Down: bots that are not
// known to be well come first, and no Dify is asked by all at once. Without a key nothing can be known.
func (p *Prober) Look(bot *v1alpha1.WechatBot, key serverconfig.Secret, ca []byte) Dify {
	if key == "" {
		return Dify{Changed: true}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	name := client.ObjectKeyFromObject(bot)
	_, known := p.known[name]
	q := p.question(name, p.fingerprint(bot.Spec.Dify.BaseURL, key, ca))
	if !known && vouched(bot) {
		q.next = q.since.Add(p.options.Part(p.options.Down))
		p.enqueue(q.next.Sub(q.since), name)
	}
	if !p.options.Now().Before(q.next) {
		p.enqueue(0, name)
	}
	found := q.dify
	found.Missing = missing(q.required, bot.Spec.Dify.Inputs)
	if found.Asked && found.usable() { // also by the spec's change alone: an input was added
		q.changed, q.confirmed = false, true
	}
	found.Changed, found.Confirmed = q.changed, q.confirmed
	if !found.Asked {
		found.Pending = q.since
	}
	return found
}

// vouched tells whether the status says that the app can be used that the spec names.
func vouched(bot *v1alpha1.WechatBot) bool {
	is := meta.FindStatusCondition(bot.Status.Conditions, v1alpha1.ConditionDifyReachable)
	return is != nil && is.Status == metav1.ConditionTrue && is.ObservedGeneration == bot.Generation
}

// question returns what is known, and begins anew for another fingerprint. It is called with mu held.
func (p *Prober) question(bot types.NamespacedName, fingerprint [sha256.Size]byte) *question {
	q, ok := p.known[bot]
	if !ok {
		q = &question{fingerprint: fingerprint, since: p.options.Now()}
		p.known[bot] = q
	}
	if q.fingerprint != fingerprint {
		*q = question{fingerprint: fingerprint, since: p.options.Now(), changed: true, host: q.host}
	}
	return q
}

// Forget drops what is known of a bot that is gone.
func (p *Prober) Forget(bot types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if q, ok := p.known[bot]; ok {
		p.enqueue(0, p.hosts.forget(bot, q.host)...)
		delete(p.known, bot)
	}
}

// Reconcile asks one bot's app, if it is due and its host has room.
func (p *Prober) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	bot := new(v1alpha1.WechatBot)
	err := p.options.Bots.Get(ctx, req.NamespacedName, bot, client.UnsafeDisableDeepCopy)
	switch {
	case apierrors.IsNotFound(err) || err == nil && !bot.DeletionTimestamp.IsZero():
		p.Forget(req.NamespacedName)
		return ctrl.Result{}, nil
	case err != nil:
		return ctrl.Result{}, fmt.Errorf("reading the bot: %w", err)
	case bot.Spec.Suspend:
		p.pause(req.NamespacedName)
		return ctrl.Result{}, nil // a reconcile of the bot asks when it goes on
	}
	if wait := p.untilDue(req.NamespacedName); wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	turn, known := p.enter(bot)
	if !turn && known == nil {
		return ctrl.Result{}, nil // queued again when it is its turn
	}
	a := &attempt{bot: bot, began: p.options.Now()}
	if turn {
		defer func() { p.leave(a) }()
	} else {
		a.found, a.known = *known, true
	}
	told, err := p.carryOut(ctx, a)
	if err != nil {
		return ctrl.Result{}, err
	}
	if told {
		p.options.Answered(ctx, req.NamespacedName, a.found)
	}
	return ctrl.Result{RequeueAfter: a.after}, nil
}

// attempt is one probe.
type attempt struct {
	bot      *v1alpha1.WechatBot
	began    time.Time
	known    bool // found is what a probe of another bot has found
	found    Dify
	required []string
	after    time.Duration // until the next one; 0 is when Look says so
}

// untilDue is how long the bot's answer holds. A change of the address or the key is Look's to notice.
func (p *Prober) untilDue(bot types.NamespacedName) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if q, ok := p.known[bot]; ok {
		return q.next.Sub(p.options.Now())
	}
	return 0
}

func (p *Prober) enter(bot *v1alpha1.WechatBot) (turn bool, known *Dify) {
	p.mu.Lock()
	defer p.mu.Unlock()
	name, now := client.ObjectKeyFromObject(bot), hostOf(bot.Spec.Dify.BaseURL)
	if q, ok := p.known[name]; ok {
		if q.host != now {
			p.enqueue(0, p.hosts.forget(name, q.host)...)
		}
		q.host = now
	}
	return p.hosts.enter(name, bot.Spec.Dify.BaseURL, p.options.Now())
}

func (p *Prober) leave(a *attempt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.enqueue(0, p.hosts.leave(a.bot.Spec.Dify.BaseURL, a.began, a.found)...)
}

// pause ends a bot's waiting for its turn.
func (p *Prober) pause(bot types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if q, ok := p.known[bot]; ok {
		p.enqueue(0, p.hosts.forget(bot, q.host)...)
	}
}

// carryOut asks unless the answer is known, and notes what was found. told is false for what is not to be told yet.
func (p *Prober) carryOut(ctx context.Context, a *attempt) (told bool, err error) {
	key, ca, err := p.secrets(ctx, a.bot)
	if err != nil || key == "" {
		return false, err
	}
	if !a.known {
		a.found, a.required = ask(ctx, a.bot.Spec.Dify.BaseURL, key, ca, p.transport)
	}
	if ctx.Err() != nil {
		return false, nil //nolint:nilerr // the operator ends, which is no answer and no error
	}
	a.found.Missing = missing(a.required, a.bot.Spec.Dify.Inputs)
	return p.note(a, p.fingerprint(a.bot.Spec.Dify.BaseURL, key, ca)), nil
}

// note keeps an answer, unless it is about an address or a key that was changed meanwhile. The first failure of a kind
// that passes is not told: what was known before stays until it is confirmed two seconds later.
func (p *Prober) note(a *attempt, fingerprint [sha256.Size]byte) (told bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	name := client.ObjectKeyFromObject(a.bot)
	if q, ok := p.known[name]; ok && q.fingerprint != fingerprint && !q.since.Before(a.began) {
		a.after = backoff[0]
		return false
	}
	q := p.question(name, fingerprint)
	if a.found.usable() {
		q.failures, a.after = 0, p.options.Up
		q.changed, q.confirmed = false, true
	} else {
		a.after = min(backoff[min(q.failures, len(backoff)-1)], p.options.Down)
		q.failures++
	}
	q.next = p.options.Now().Add(a.after)
	if q.failures == 1 && a.found.mayPass() {
		return false
	}
	if a.found.Err == nil {
		q.required = a.required
	}
	q.dify = a.found
	return true
}

// secrets reads the key and the authority; without a key that can be used, the key is empty.
func (p *Prober) secrets(ctx context.Context, bot *v1alpha1.WechatBot) (key serverconfig.Secret, ca []byte, err error) {
	for _, ref := range desired.SecretRefs(bot) {
		if !slices.Contains([]string{desired.FileDifyAPIKey, desired.FileDifyCA}, ref.File) {
			continue
		}
		secret := new(corev1.Secret)
		err := p.options.Secrets.Get(ctx, types.NamespacedName{Namespace: bot.Namespace, Name: ref.Name}, secret)
		if apierrors.IsNotFound(err) {
			return "", nil, nil
		} else if err != nil {
			return "", nil, fmt.Errorf("reading Secret %s: %w", ref.Name, err)
		}
		content, problem := resolve(secret, ref)
		switch {
		case problem != nil:
			return "", nil, nil
		case ref.File == desired.FileDifyCA:
			ca = content
		default:
			key = serverconfig.Secret(content)
		}
	}
	return key, ca, nil
}

func (p *Prober) fingerprint(baseURL string, key serverconfig.Secret, ca []byte) [sha256.Size]byte {
	mac := hmac.New(sha256.New, p.pepper)
	for _, part := range []string{baseURL, strings.TrimSpace(key.Reveal()), string(ca)} {
		sum := sha256.Sum256([]byte(part))
		mac.Write(sum[:])
	}
	return [sha256.Size]byte(mac.Sum(nil))
}
