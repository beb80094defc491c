package controllers

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/apply"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
	"github.com/wechatbot/wechatbot-operator/controllers/observe"
	"github.com/wechatbot/wechatbot-operator/controllers/report"
)

// writes counts the operator's writes of children. A process has one registry, and so one counter.
var writes = apply.NewWrites()

// Options are what a Reconciler needs beside the manager.
type Options struct {
	// Operator is what the flags say of all bots.
	Operator desired.Operator
	// ClusterScoped: the operator may read what belongs to the cluster (IngressClasses).
	ClusterScoped bool
	// Concurrency is how many bots are reconciled at once; 0 means 8.
	Concurrency int
	// Waits is when bots are looked at again; the zero value means DefaultWaits.
	Waits report.Waits
	// DifyUp and DifyDown are how long an answer of Dify holds: a good one, and at most any other. 0 means 10 min and
	// 1 min.
	DifyUp, DifyDown time.Duration
	// WithoutDify: no Dify is asked, so that the operator calls no address that a bot's author writes, and bots have no
	// condition DifyReachable.
	WithoutDify bool
	// PollEvery is the distance between two looks at what a bot's webhook servers say of themselves; 0 means a minute.
	PollEvery time.Duration
	// AdminPort is where they say it; 0 means desired.AdminPort.
	AdminPort int
	// WithoutServers: no server is asked, so that the operator needs no way to pods, and bots have none of the conditions that
	// servers tell.
	WithoutServers bool
	// RolloutConcurrency is how many bots' pods are replaced at once where the operator's own change is the reason: an
	// upgrade, say. 0 is any number.
	RolloutConcurrency int
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Name is the controller's; it must be unique in the process. Empty means wechatbot.
	Name string
}

// Scheme knows every type that the operator reads or writes.
func Scheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	utilruntime.Must(gatewayv1.Install(scheme))
	return scheme
}

// Setup makes a Reconciler and has the manager run it.
func Setup(ctx context.Context, mgr manager.Manager, o Options) error {
	o = complete(o)
	if err := metrics.Registry.Register(writes); err != nil {
		if !alreadyRegistered(err) {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	answers := make(chan event.GenericEvent, 1024)
	prober, err := newProber(mgr, o, mgr.GetAPIReader(), answers)
	if err != nil {
		return err
	}
	poller, err := newPoller(mgr, o, answers)
	if err != nil {
		return err
	}
	if err := mgr.Add(&conditions{bots: mgr.GetClient(), registry: metrics.Registry}); err != nil {
		return fmt.Errorf("adding the metrics of bots: %w", err)
	}
	err = mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.WechatBot{}, observe.IndexAddress, func(o client.Object) []string {
		bot, _ := o.(*v1alpha1.WechatBot)
		return observe.Addresses(bot)
	})
	if err != nil {
		return fmt.Errorf("indexing bots by address: %w", err)
	}
	if err := mgr.GetFieldIndexer().IndexField(ctx, &networkingv1.Ingress{}, observe.IndexLed, observe.Led); err != nil {
		return fmt.Errorf("indexing Ingresses by address: %w", err)
	}
	for _, kind := range []client.Object{&corev1.Pod{}, &corev1.ConfigMap{}} {
		if err := mgr.GetFieldIndexer().IndexField(ctx, kind, observe.IndexOwned, observe.Owned); err != nil {
			return fmt.Errorf("indexing %T by bot: %w", kind, err)
		}
	}
	if err := mgr.GetFieldIndexer().IndexField(ctx, &appsv1.Deployment{}, indexRolling, rolling); err != nil {
		return fmt.Errorf("indexing Deployments by their rollouts: %w", err)
	}
	secrets, err := client.New(mgr.GetConfig(), client.Options{Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(), HTTPClient: mgr.GetHTTPClient()})
	if err != nil {
		return fmt.Errorf("making the client for Secrets: %w", err)
	}
	gateway := &gatewayAPI{mgr: mgr, now: o.Now, recheck: o.Waits.Cluster}
	classes := &defaultClass{client: secrets, now: o.Now, recheck: o.Waits.Cluster}
	expectations := observe.NewExpectations()
	r := &Reconciler{
		client: mgr.GetClient(),
		observer: &observe.Observer{
			Cache: mgr.GetClient(), Live: mgr.GetAPIReader(), Dify: prober, Servers: poller, GatewayAPI: gateway.served,
			Expectations: expectations, DefaultClass: classes.find, Operator: o.Operator, ClusterScoped: o.ClusterScoped, Now: o.Now,
		},
		writer:   &apply.Writer{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Secrets: secrets, Writes: writes, Expectations: expectations, Now: o.Now},
		operator: o.Operator,
		events:   mgr.GetEventRecorder("wechatbot-controller"),
		waits:    o.Waits,
		rollouts: &rollouts{
			reader: mgr.GetClient(), atOnce: o.RolloutConcurrency, now: o.Now, begun: map[types.NamespacedName]time.Time{},
			wake: func(ctx context.Context, bot types.NamespacedName) { wake(ctx, answers, bot) },
		},
	}
	gateway.waiting = r.waitingBots
	gateway.controller, err = r.watches(mgr, o, answers)
	if err != nil {
		return fmt.Errorf("building the controller: %w", err)
	}
	return nil
}

// newProber makes the controller that asks Dify apps, whose answers wake the bots that they say something new of; nil if
// no Dify is to be asked.
func newProber(mgr manager.Manager, o Options, secrets client.Reader, answers chan<- event.GenericEvent) (*observe.Prober, error) {
	if o.WithoutDify {
		return nil, nil //nolint:nilnil // as said
	}
	prober := observe.NewProber(observe.ProberOptions{
		Bots: mgr.GetClient(), Secrets: secrets, Up: o.DifyUp, Down: o.DifyDown, Now: o.Now, Part: partOf,
		Answered: func(ctx context.Context, bot types.NamespacedName, answer observe.Dify) {
			now := new(v1alpha1.WechatBot)
			if err := mgr.GetClient().Get(ctx, bot, now, client.UnsafeDisableDeepCopy); err == nil && report.KnownOfDify(now, answer) {
				return
			}
			wake(ctx, answers, bot)
		},
	})
	err := ctrl.NewControllerManagedBy(mgr).Named(o.Name + "-dify").
		WatchesRawSource(prober.Source()).
		WithOptions(controller.Options{MaxConcurrentReconciles: observe.ProbeWorkers, ReconciliationTimeout: reconciliationTimeout}).
		Complete(prober)
	if err != nil {
		return nil, fmt.Errorf("building the controller of Dify's probes: %w", err)
	}
	return prober, nil
}

// newPoller makes the controller that asks webhook servers how they are, whose answers wake the bots that they say something
// new of; nil if no server is to be asked.
func newPoller(mgr manager.Manager, o Options, answers chan<- event.GenericEvent) (*observe.Poller, error) {
	if o.WithoutServers {
		return nil, nil //nolint:nilnil // as said
	}
	poller := observe.NewPoller(observe.PollerOptions{
		Bots: mgr.GetClient(), Every: o.PollEvery, Port: o.AdminPort, Now: o.Now, Part: partOf,
		Told: func(ctx context.Context, bot types.NamespacedName, servers observe.Servers) {
			now := new(v1alpha1.WechatBot)
			if err := mgr.GetClient().Get(ctx, bot, now, client.UnsafeDisableDeepCopy); err == nil && report.KnownOfServers(now, servers) {
				return
			}
			wake(ctx, answers, bot)
		},
	})
	err := ctrl.NewControllerManagedBy(mgr).Named(o.Name + "-servers").
		WatchesRawSource(poller.Source()).
		WithOptions(controller.Options{MaxConcurrentReconciles: observe.PollWorkers, ReconciliationTimeout: reconciliationTimeout}).
		Complete(poller)
	if err != nil {
		return nil, fmt.Errorf("building the controller of the servers' polls: %w", err)
	}
	return poller, nil
}

// partOf is any part of a duration, and all of it at most.
func partOf(d time.Duration) time.Duration { return rand.N(d + 1) } //nolint:gosec // it spreads calls, no more

// wake has a bot reconciled.
func wake(ctx context.Context, bots chan<- event.GenericEvent, bot types.NamespacedName) {
	select {
	case bots <- event.GenericEvent{Object: named(bot)}:
	case <-ctx.Done():
	}
}

func complete(o Options) Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Concurrency == 0 {
		o.Concurrency = 8
	}
	if o.AdminPort == 0 {
		o.AdminPort = desired.AdminPort
	}
	if o.Waits == (report.Waits{}) {
		o.Waits = report.DefaultWaits()
	}
	if o.Name == "" {
		o.Name = "wechatbot"
	}
	return o
}

// watches says what wakes the Reconciler.
func (r *Reconciler) watches(mgr manager.Manager, o Options, answers <-chan event.GenericEvent) (controller.Controller, error) {
	meant := builder.WithPredicates(predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))
	child := handler.EnqueueRequestsFromMapFunc(botOfChild)
	b := ctrl.NewControllerManagedBy(mgr).Named(o.Name).
		For(&v1alpha1.WechatBot{}, meant).
		Watches(&v1alpha1.WechatBot{}, handler.EnqueueRequestsFromMapFunc(r.conflictingBots), builder.WithPredicates(claimChanged())).
		Watches(&networkingv1.Ingress{}, handler.EnqueueRequestsFromMapFunc(r.waitingBots), builder.WithPredicates(ledChanged())).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(botOf), builder.WithPredicates(podProblemChanged())).
		Watches(&corev1.PersistentVolumeClaim{}, handler.EnqueueRequestsFromMapFunc(botOf), builder.WithPredicates(volumeChanged())).
		Watches(&corev1.ConfigMap{}, child, builder.WithPredicates(madeByOthers(), unlessConversation())).
		WatchesRawSource(source.Channel(answers, &handler.EnqueueRequestForObject{}))
	for _, kind := range []client.Object{
		&corev1.ServiceAccount{}, &rbacv1.Role{}, &rbacv1.RoleBinding{}, &appsv1.Deployment{}, &appsv1.StatefulSet{}, &corev1.Service{},
		&networkingv1.Ingress{}, &networkingv1.NetworkPolicy{}, &policyv1.PodDisruptionBudget{},
	} {
		b = b.Watches(kind, child, builder.WithPredicates(madeByOthers()))
	}
	if o.ClusterScoped {
		b = b.Watches(&networkingv1.IngressClass{}, handler.EnqueueRequestsFromMapFunc(r.ingressBots))
	}
	return b.WithOptions(controller.Options{
		MaxConcurrentReconciles: o.Concurrency,
		ReconciliationTimeout:   reconciliationTimeout,
		// What fails for good is tried again every two minutes, not ever more seldom.
		RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](20*time.Millisecond, 2*time.Minute),
	}).Build(r)
}

// conflictingBots are the other bots of a bot's address: the change or end of one may settle a conflict.
func (r *Reconciler) conflictingBots(ctx context.Context, o client.Object) []reconcile.Request {
	bot, ok := o.(*v1alpha1.WechatBot)
	if !ok {
		return nil
	}
	return r.othersAt(ctx, observe.Addresses(bot), bot.UID)
}

// waitingBots are the bots that an Ingress or an HTTPRoute of another one may have kept from their address.
func (r *Reconciler) waitingBots(ctx context.Context, o client.Object) []reconcile.Request {
	var owner types.UID
	if controller := metav1.GetControllerOf(o); controller != nil {
		owner = controller.UID
	}
	return r.othersAt(ctx, observe.Led(o), owner)
}

// othersAt are the bots of some addresses but one.
func (r *Reconciler) othersAt(ctx context.Context, addresses []string, but types.UID) []reconcile.Request {
	var all []reconcile.Request
	for _, address := range addresses {
		var bots v1alpha1.WechatBotList
		err := r.client.List(ctx, &bots, client.MatchingFields{observe.IndexAddress: address}, client.UnsafeDisableDeepCopy)
		if err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "Could not list the other bots of an address")
			return nil
		}
		all = append(all, requests(&bots, func(other *v1alpha1.WechatBot) bool { return other.UID != but })...)
	}
	return all
}

// ingressBots are the bots that a change of IngressClasses may concern.
func (r *Reconciler) ingressBots(ctx context.Context, _ client.Object) []reconcile.Request {
	var bots v1alpha1.WechatBotList
	if err := r.client.List(ctx, &bots, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Could not list the bots of an IngressClass")
		return nil
	}
	return requests(&bots, desired.HasIngress)
}

func requests(bots *v1alpha1.WechatBotList, which func(*v1alpha1.WechatBot) bool) []reconcile.Request {
	var all []reconcile.Request
	for i := range bots.Items {
		if bot := &bots.Items[i]; which(bot) {
			all = append(all, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(bot)})
		}
	}
	return all
}

// botOf finds the bot of what other controllers make for its children.
func botOf(_ context.Context, o client.Object) []reconcile.Request {
	name := naming.BotOf(o.GetLabels())
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: o.GetNamespace(), Name: name}}}
}

// botOfChild finds the bot that owns an object, or of one without an owner the bot that it says it is of: one that was
// restored, say.
func botOfChild(ctx context.Context, o client.Object) []reconcile.Request {
	owner := metav1.GetControllerOf(o)
	if owner == nil {
		return botOf(ctx, o)
	}
	group, err := schema.ParseGroupVersion(owner.APIVersion)
	if err != nil || owner.Kind != "WechatBot" || group.Group != v1alpha1.SchemeGroupVersion.Group {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: o.GetNamespace(), Name: owner.Name}}}
}

// podProblemChanged leaves the counting of pods to the Deployment's status.
func podProblemChanged() predicate.Predicate {
	const none = "false" // neither a problem nor unready
	problem := func(o client.Object) string {
		pod, ok := o.(*corev1.Pod)
		if !ok {
			return none
		}
		if problem := observe.PodProblem(pod); problem != "" {
			return problem
		}
		return strconv.FormatBool(!observe.Unready(pod).IsZero())
	}
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool { return problem(e.Object) != none },
		UpdateFunc: func(e event.UpdateEvent) bool { return problem(e.ObjectOld) != problem(e.ObjectNew) },
		DeleteFunc: func(e event.DeleteEvent) bool {
			return problem(e.Object) != none || !e.Object.GetDeletionTimestamp().IsZero() // Ready may have waited for it to leave
		},
	}
}

// claimChanged passes what may give another bot the address: a bot with another spec, one that goes, or one that is no
// longer exposed.
func claimChanged() predicate.Predicate {
	said := func(o client.Object) observe.Claim {
		bot, ok := o.(*v1alpha1.WechatBot)
		if !ok {
			return observe.ClaimNew
		}
		return observe.ClaimOf(bot, observe.Address(bot))
	}
	return predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, predicate.Funcs{
		CreateFunc:  func(event.CreateEvent) bool { return false }, // the other lets it pass
		DeleteFunc:  func(event.DeleteEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
		UpdateFunc:  func(e event.UpdateEvent) bool { return said(e.ObjectOld) != said(e.ObjectNew) },
	})
}

// ledChanged passes an Ingress or an HTTPRoute that leads elsewhere, or nowhere any more.
func ledChanged() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			return e.ObjectOld.GetDeletionTimestamp().IsZero() != e.ObjectNew.GetDeletionTimestamp().IsZero() ||
				!slices.Equal(observe.Led(e.ObjectOld), observe.Led(e.ObjectNew))
		},
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}

// volumeChanged passes what a bot's condition says of a volume.
func volumeChanged() predicate.Predicate {
	said := func(o client.Object) [2]string {
		claim, ok := o.(*corev1.PersistentVolumeClaim)
		if !ok {
			return [2]string{}
		}
		return [2]string{string(claim.Status.Phase), claim.Spec.Resources.Requests.Storage().String()}
	}
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool { return said(e.ObjectOld) != said(e.ObjectNew) },
	}
}

// madeByOthers passes of new children those that the operator did not apply, and those without an owner. It knows of its own,
// and at its start the bots themselves are news.
func madeByOthers() predicate.Predicate {
	return predicate.Funcs{CreateFunc: func(e event.CreateEvent) bool {
		return metav1.GetControllerOf(e.Object) == nil || !slices.ContainsFunc(e.Object.GetManagedFields(), func(f metav1.ManagedFieldsEntry) bool {
			return f.Manager == naming.FieldOwner
		})
	}}
}

// unlessConversation passes what happens to ConfigMaps, except that a server wrote conversations into its store.
func unlessConversation() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return e.ObjectNew.GetLabels()[naming.LabelComponent] != naming.Sessions || !sameSessions(e.ObjectOld, e.ObjectNew)
	}}
}

func named(bot types.NamespacedName) client.Object {
	o := new(v1alpha1.WechatBot)
	o.Namespace, o.Name = bot.Namespace, bot.Name
	return o
}
