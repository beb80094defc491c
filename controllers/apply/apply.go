// Package apply makes the children of one bot what they should be: it writes differences and nothing else, takes
// nothing that is not the bot's, and removes what the bot no longer wants.
//
// It knows neither why a child should be as it should, nor what follows for the bot's conditions.
package apply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	appsv1 "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1 "k8s.io/client-go/applyconfigurations/core/v1"
	networkingv1 "k8s.io/client-go/applyconfigurations/networking/v1"
	policyv1 "k8s.io/client-go/applyconfigurations/policy/v1"
	rbacv1 "k8s.io/client-go/applyconfigurations/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/applyconfiguration/apis/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
	"github.com/wechatbot/wechatbot-operator/controllers/observe"
)

// Writer writes children.
type Writer struct {
	// Client writes.
	Client client.Client
	// Live reads a child that the caches do not have although it is there.
	Live client.Reader
	// Secrets writes without a cache: one that reads its own writes would list and watch every Secret.
	Secrets client.Writer
	// Writes counts what was sent, by kind and result; nil does not.
	Writes *prometheus.CounterVec
	// Expectations are told what was written, as the caches may not show it yet, or ever.
	Expectations *observe.Expectations
	// Now is the clock.
	Now func() time.Time

	settled settled
	shapes  shapes
	fights  fights
}

// NewWrites makes the counter of Writer.Writes.
func NewWrites() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "wechatbot", Name: "apply_total",
		Help: "Writes of bots' objects, by kind and result. A bot that is as it should be causes none.",
	}, []string{"kind", "result"})
}

// All makes the children in have what want says, and puts what the API server answers into have. A child that cannot
// be written does not keep the others from it; the error joins all *NotOursError, *TerminatingError, *OverriddenError
// and *FailedError.
func (w *Writer) All(ctx context.Context, bot *v1alpha1.WechatBot, want *desired.Children, have *observe.Children) error {
	// First, as pods that need it are not admitted before: those of a managed Redis too.
	store := ensure(ctx, w, bot, want.ServiceAccount, &have.ServiceAccount, corev1.ExtractServiceAccount)
	if !want.RetainedStores.ConfigMaps {
		store = errors.Join(store, w.sessions(ctx, bot, want, have))
	}
	if !want.RetainedStores.Redis {
		store = errors.Join(store, w.redis(ctx, bot, want, have))
	}
	return errors.Join(store,
		w.servers(ctx, bot, want, have),
		ensure(ctx, w, bot, want.Service, &have.Service, corev1.ExtractService),
		w.ingress(ctx, bot, want, have),
		ensure(ctx, w, bot, want.HTTPRoute, &have.HTTPRoute, gatewayv1.ExtractHTTPRoute),
		ensure(ctx, w, bot, want.PodDisruptionBudget, &have.PodDisruptionBudget, policyv1.ExtractPodDisruptionBudget),
		ensure(ctx, w, bot, want.NetworkPolicy, &have.NetworkPolicy, networkingv1.ExtractNetworkPolicy),
	)
}

// servers makes the Deployment, after the configuration that its pods start with.
func (w *Writer) servers(ctx context.Context, bot *v1alpha1.WechatBot, want *desired.Children, have *observe.Children) error {
	err := ensure(ctx, w, bot, want.Config, &have.Config, corev1.ExtractConfigMap)
	for i := range have.UnusedConfigs {
		err = errors.Join(err, prune(ctx, w, bot, &have.UnusedConfigs[i]))
	}
	if want.RetainPods {
		return err
	}
	return errors.Join(err, ensure(ctx, w, bot, want.Deployment, &have.Deployment, appsv1.ExtractDeployment))
}

// sessions makes the ConfigMaps that keep conversations, and lets the servers write them.
func (w *Writer) sessions(ctx context.Context, bot *v1alpha1.WechatBot, want *desired.Children, have *observe.Children) error {
	var sessions error
	for i := range want.Sessions {
		sessions = errors.Join(sessions, ensure(ctx, w, bot, want.Sessions[i], &have.Sessions[i], corev1.ExtractConfigMap))
	}
	return errors.Join(sessions,
		ensure(ctx, w, bot, want.Role, &have.Role, rbacv1.ExtractRole),
		ensure(ctx, w, bot, want.RoleBinding, &have.RoleBinding, rbacv1.ExtractRoleBinding),
	)
}

// object is a pointer to an API type.
type object[T any] interface {
	*T
	client.Object
}

// configuration is a pointer to the apply configuration of an API type.
type configuration[T any] interface {
	*T
	runtime.ApplyConfiguration
	WithUID(types.UID) *T
	WithResourceVersion(string) *T
}

// noVersion is a resource version that no object has: an apply that carries it creates, or conflicts with whatever is
// there already.
const noVersion = "1"

// ensure makes one child what it should be. The comparison before it spares the API server an apply that changes
// nothing, which costs it as much as one that does.
func ensure[L, W any, O object[L], C configuration[W]](
	ctx context.Context, w *Writer, bot *v1alpha1.WechatBot, want C, have *O, extract func(O, string) (C, error),
) error {
	live := *have
	switch {
	case want == nil:
		return prune(ctx, w, bot, have)
	case live == nil:
		return create(ctx, w, bot, want, have, extract)
	}
	if err := takeable(live, bot, kindOf[L]()); err != nil {
		return err
	}
	shape, same := shapeOf(want, live)
	if same && w.shapes.has(shape) {
		return w.fights.standing(live.GetUID(), w.Now())
	}
	owned, err := extract(whole(live), naming.FieldOwner)
	if err != nil {
		return &FailedError{kindOf[L](), live.GetName(), fmt.Errorf("reading what is ours of it: %w", err)}
	}
	if equality.Semantic.DeepEqual(owned, want) {
		if same {
			w.shapes.add(shape)
		}
		return w.fights.standing(live.GetUID(), w.Now())
	}
	return correct(ctx, w, want, owned, have)
}

// correct writes what somebody changed of a child, or what it should be from now on.
func correct[L, W any, O object[L], C configuration[W]](
	ctx context.Context, w *Writer, want, owned C, have *O,
) error {
	live := *have
	difference := [2]digest{digestOf(owned), digestOf(want)}
	if ok, overridden := w.settled.get(live.GetUID(), difference); ok {
		return overridden
	}
	may, fight := w.fights.correction(live.GetUID(), difference[1], w.Now())
	if fight {
		overridden, err := w.blame(ctx, live, kindOf[L](), want, owned)
		if err != nil {
			return err
		}
		w.fights.blame(live.GetUID(), overridden)
	}
	if !may {
		return w.fights.standing(live.GetUID(), w.Now())
	}
	again, err := clone[W](want)
	if err != nil {
		return err
	}
	want.WithUID(live.GetUID()) // should another have taken its place since, it is a conflict
	err = write(ctx, w, live.GetName(), want, have)
	if apierrors.IsInvalid(err) && replace(ctx, w, live, again) == nil {
		err = write(ctx, w, live.GetName(), C(again), have)
	}
	if err != nil {
		w.fights.refused(live.GetUID())
		return err
	}
	if (*have).GetResourceVersion() == live.GetResourceVersion() {
		overridden := overriddenAtAdmission(live, kindOf[L](), again, owned)
		w.settled.add(live.GetUID(), difference, overridden)
		return overridden
	}
	return w.fights.standing(live.GetUID(), w.Now())
}

// create writes a child that the caches do not have. Should there be one all the same, the caches lag behind or it is
// not the operator's.
func create[L, W any, O object[L], C configuration[W]](
	ctx context.Context, w *Writer, bot *v1alpha1.WechatBot, want C, have *O, extract func(O, string) (C, error),
) error {
	again, err := clone[W](want)
	if err != nil {
		return err
	}
	name := nameOf(want)
	want.WithResourceVersion(noVersion)
	err = write(ctx, w, name, want, have)
	if !apierrors.IsConflict(err) {
		return err
	}
	var found O = new(L)
	if err := w.Live.Get(ctx, types.NamespacedName{Namespace: bot.Namespace, Name: name}, found); err != nil {
		return &FailedError{kindOf[L](), name, err}
	}
	*have = found
	if takeable(found, bot, kindOf[L]()) == nil {
		w.Expectations.Wrote(found) // the caches do not have it
	}
	return ensure(ctx, w, bot, C(again), have, extract)
}

func write[L, W any, O object[L], C configuration[W]](ctx context.Context, w *Writer, name string, want C, have *O) error {
	err := w.Client.Apply(ctx, want, client.FieldOwner(naming.FieldOwner), client.ForceOwnership, client.DisableReadYourWritesConsistency)
	w.count(kindOf[L](), "applied", err)
	if err != nil {
		return &FailedError{kindOf[L](), name, err}
	}
	// The answer is in want; the state must not speak of the object as it was.
	var now O = new(L)
	answer, err := json.Marshal(want)
	if err == nil {
		err = json.Unmarshal(answer, now)
	}
	if err != nil {
		return &FailedError{kindOf[L](), name, fmt.Errorf("reading the answer: %w", err)}
	}
	*have = now
	w.Expectations.Wrote(now)
	return nil
}

// replace puts whole lists in the place of live's. An apply merges them by key: where somebody changed the key of an
// entry (a Service's port), it would add ours beside theirs, which can make the object invalid for good.
func replace[L any, O object[L]](ctx context.Context, w *Writer, live O, configuration any) error {
	whole, err := json.Marshal(configuration)
	if err != nil {
		return err
	}
	mine, _ := live.DeepCopyObject().(O)
	err = w.Client.Patch(ctx, mine, client.RawPatch(types.MergePatchType, whole), client.FieldOwner(naming.FieldOwner),
		client.DisableReadYourWritesConsistency)
	w.count(kindOf[L](), "replaced", err)
	return err
}

// prune removes a child that is no longer wanted, if it is the bot's, as it was seen.
func prune[L any, O object[L]](ctx context.Context, w *Writer, bot *v1alpha1.WechatBot, have *O) error {
	live := *have
	if live == nil || !metav1.IsControlledBy(live, bot) || !live.GetDeletionTimestamp().IsZero() {
		return nil
	}
	// The object is the cache's own.
	gone, _ := live.DeepCopyObject().(O)
	err := client.IgnoreNotFound(w.Client.Delete(ctx, gone, client.Preconditions{
		UID: new(live.GetUID()), ResourceVersion: new(live.GetResourceVersion()),
	}, client.DisableReadYourWritesConsistency))
	w.count(kindOf[L](), "pruned", err)
	if err != nil {
		return &FailedError{kindOf[L](), live.GetName(), fmt.Errorf("removing it: %w", err)}
	}
	w.Expectations.Deleted(live)
	*have = nil
	return nil
}

func (w *Writer) count(kind, result string, err error) {
	if w.Writes == nil {
		return
	}
	if err != nil {
		result = "failed"
	}
	w.Writes.WithLabelValues(kind, result).Inc()
}

func kindOf[L any]() string { return reflect.TypeFor[L]().Name() }

func nameOf(c runtime.ApplyConfiguration) string {
	if named, ok := c.(interface{ GetName() *string }); ok && named.GetName() != nil {
		return *named.GetName()
	}
	return ""
}

func clone[W any](c *W) (*W, error) {
	encoded, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encoding an object: %w", err)
	}
	copied := new(W)
	return copied, json.Unmarshal(encoded, copied)
}
