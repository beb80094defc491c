package observe

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// PollWorkers is how many bots are polled at once. Where no server can be reached, each takes statusConnect: a thousand
// bots are through in less than a minute.
const PollWorkers = 64

const (
	podsAtOnce = 4  // of one bot
	maxPods    = 64 // of one bot; the others are not asked
)

// Poller is the controller that asks webhook servers how they are, at GET /status of their admin port. It has a queue of
// its own, so that servers that cannot be reached delay no bot's reconcile. It keeps a few hundred bytes a bot, of which
// none is a secret, an openid or a text.
//
// What has changed is looked at a second time, five seconds later, before it is told, so that a server that starts or stops
// makes no news; the first that is known of a bot is told at once.
type Poller struct {
	options PollerOptions
	client  *http.Client

	waking // the bots that Look was called for

	mu    sync.Mutex
	known map[types.NamespacedName]*polled
}

// PollerOptions are what a Poller needs.
type PollerOptions struct {
	// Bots reads WechatBots and pods, from a cache in which pods have IndexOwned.
	Bots client.Reader
	// Every is the distance between two polls of a bot; 0 means a minute.
	Every time.Duration
	// Port is the servers' admin port.
	Port int
	// Now is the clock.
	Now func() time.Time
	// Part gives a part of a duration that is another one for each call, from 0 to all of it.
	Part func(time.Duration) time.Duration
	// Told is called when the servers of a bot say something new.
	Told func(context.Context, types.NamespacedName, Servers)
	// Dial makes connections; nil is the system's way.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// polled is what is known of one bot's servers.
type polled struct {
	key     string    // of what was there when it was last looked at: another one is polled soon
	url     string    // that pushes were counted for
	next    time.Time // when it is due again
	told    Servers
	pending bool   // the last poll has found something else
	store   string // StoreError of the last poll
	counts  map[types.UID]counts
	trend   pushTrend
}

// NewPoller makes a Poller. It works while a controller with its Source runs.
func NewPoller(o PollerOptions) *Poller {
	if o.Every == 0 {
		o.Every = time.Minute
	}
	return &Poller{
		options: o, client: newStatusClient(o.Dial),
		known: map[types.NamespacedName]*polled{},
	}
}

// again is when a poll is repeated that has found something new, or servers that were just started.
func (p *Poller) again() time.Duration { return p.options.Every / 12 }

// Look returns what is known of the bot's servers, and has them asked: soon if the bot or the servers have changed, and
// else when it is time. After a start of the operator bots whose status has an answer are asked within Every.
func (p *Poller) Look(bot *v1alpha1.WechatBot, pods []corev1.Pod) Servers {
	p.mu.Lock()
	defer p.mu.Unlock()
	name, now, key := client.ObjectKeyFromObject(bot), p.options.Now(), pollKey(bot, pods)
	q, ok := p.known[name]
	if !ok {
		q = &polled{counts: map[types.UID]counts{}}
		p.known[name] = q
		if answered(bot) {
			q.key, q.next = key, now.Add(p.options.Part(p.options.Every))
			p.enqueue(q.next.Sub(now), name)
		}
	}
	if q.key != key {
		q.key, q.next = key, now.Add(p.again())
		p.enqueue(p.again(), name)
	}
	if now.After(q.next.Add(p.options.Every)) { // it was suspended
		p.enqueue(0, name)
	}
	return q.told
}

// answered tells whether the bot's status has an answer of servers.
func answered(bot *v1alpha1.WechatBot) bool { return pushesOf(bot) != "" }

// pollKey names what was there.
func pollKey(bot *v1alpha1.WechatBot, pods []corev1.Pod) string {
	var running []string
	for i := range pods {
		if address(&pods[i]) != "" {
			running = append(running, string(pods[i].UID))
		}
	}
	slices.Sort(running)
	return strconv.FormatInt(bot.Generation, 10) + " " + strings.Join(running, " ")
}

// address is where a server can be asked; empty if it does not run.
func address(pod *corev1.Pod) string {
	if !pod.DeletionTimestamp.IsZero() || pod.Status.Phase != corev1.PodRunning {
		return ""
	}
	for i := range pod.Status.ContainerStatuses {
		if c := &pod.Status.ContainerStatuses[i]; c.Name == naming.ServerContainer && c.State.Running != nil {
			return pod.Status.PodIP
		}
	}
	return ""
}

// Forget drops what is known of a bot that is gone.
func (p *Poller) Forget(bot types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.known, bot)
}

// Reconcile asks one bot's servers, if they are due.
func (p *Poller) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	bot := new(v1alpha1.WechatBot)
	err := p.options.Bots.Get(ctx, req.NamespacedName, bot, client.UnsafeDisableDeepCopy)
	switch {
	case apierrors.IsNotFound(err) || err == nil && !bot.DeletionTimestamp.IsZero():
		p.Forget(req.NamespacedName)
		return ctrl.Result{}, nil
	case err != nil:
		return ctrl.Result{}, fmt.Errorf("reading the bot: %w", err)
	case bot.Spec.Suspend:
		return ctrl.Result{}, nil // a reconcile of the bot looks again when it goes on
	}
	if wait := p.untilDue(req.NamespacedName); wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	var pods corev1.PodList
	err = p.options.Bots.List(ctx, &pods, client.InNamespace(bot.Namespace), owned(bot, naming.Server), client.UnsafeDisableDeepCopy)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("listing the pods: %w", err)
	}
	answers := p.ask(ctx, pods.Items)
	if ctx.Err() != nil {
		return ctrl.Result{}, nil //nolint:nilerr // the operator ends, which is no answer and no error
	}
	servers, told, wait := p.note(bot, answers)
	if told {
		p.options.Told(ctx, req.NamespacedName, servers)
	}
	return ctrl.Result{RequeueAfter: wait}, nil
}

// untilDue is how long it takes until the bot is polled again.
func (p *Poller) untilDue(bot types.NamespacedName) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if q, ok := p.known[bot]; ok {
		return q.next.Sub(p.options.Now())
	}
	return 0
}

// ask asks all servers that run.
func (p *Poller) ask(ctx context.Context, pods []corev1.Pod) []serverAnswer {
	var running []*corev1.Pod
	for i := range pods {
		if address(&pods[i]) != "" {
			running = append(running, &pods[i])
		}
	}
	slices.SortFunc(running, func(a, b *corev1.Pod) int { return cmp.Compare(a.Name, b.Name) })
	running = running[:min(len(running), maxPods)]
	answers := make([]serverAnswer, len(running))
	turn := make(chan struct{}, podsAtOnce)
	var all sync.WaitGroup
	for i, pod := range running {
		turn <- struct{}{}
		all.Go(func() {
			defer func() { <-turn }()
			at := net.JoinHostPort(address(pod), strconv.Itoa(p.options.Port))
			answers[i].pod = pod.UID
			answers[i].status, answers[i].failure = askServer(ctx, p.client, at)
		})
	}
	all.Wait()
	return answers
}

// note keeps what a poll has found, and says whether it is to be told and when the next poll is.
func (p *Poller) note(bot *v1alpha1.WechatBot, answers []serverAnswer) (servers Servers, tell bool, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q, ok := p.known[client.ObjectKeyFromObject(bot)]
	if !ok { // it was forgotten meanwhile
		return Servers{}, false, 0
	}
	wait = p.options.Every - p.options.Part(p.options.Every/10)
	if len(answers) > 0 {
		found := sum(answers, q.count(bot, answers))
		words := found.StoreError
		if words != "" && q.told.StoreError != "" && words != q.store {
			found.StoreError = q.told.StoreError // words that are others each time are no news
		}
		q.store = words
		switch news := !reflect.DeepEqual(found, q.told); {
		case news && q.told.Asked && !q.pending:
			q.pending, wait = true, p.again()
		default:
			q.told, q.pending, tell = found, false, news
		}
	}
	now := p.options.Now()
	if soon := q.next.Sub(now); soon > 0 { // something has changed during the poll
		wait = min(wait, soon)
	}
	q.next = now.Add(wait)
	return q.told, tell, wait
}

// count follows the servers' counters. Servers that do not answer keep theirs.
func (q *polled) count(bot *v1alpha1.WechatBot, answers []serverAnswer) Pushes {
	first := q.url == ""
	elsewhere := !first && q.url != bot.Status.URL
	q.url = bot.Status.URL
	var came counts
	now := make(map[types.UID]counts, len(answers))
	for i := range answers {
		a := &answers[i]
		before, seen := q.counts[a.pod]
		if a.failure != "" {
			if seen {
				now[a.pod] = before
			}
			continue
		}
		now[a.pod] = countsOf(a.status.Pushes)
		came = came.plus(now[a.pod].since(before))
	}
	q.counts = now
	switch {
	case elsewhere: // what came before came to another address
		q.trend = pushTrend{is: PushesNone}
	case first:
		q.trend.begin(pushesOf(bot), came)
	default:
		q.trend.follow(came)
	}
	return q.trend.is
}

// pushesOf is what the bot's status says of pushes; empty if it does not know.
func pushesOf(bot *v1alpha1.WechatBot) Pushes {
	for i := range bot.Status.Conditions {
		if c := &bot.Status.Conditions[i]; c.Type == v1alpha1.ConditionConnected {
			return map[string]Pushes{
				v1alpha1.ReasonPushesArrive: PushesAuthentic, v1alpha1.ReasonNoPushYet: PushesNone,
				v1alpha1.ReasonSignatureMismatch: PushesWrongSignature, v1alpha1.ReasonDecryptionFailed: PushesUndecryptable,
			}[c.Reason]
		}
	}
	return ""
}
