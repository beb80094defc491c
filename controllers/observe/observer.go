package observe

import (
	"context"
	"fmt"
	"reflect"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// Observer reads the cluster.
type Observer struct {
	// Cache reads children, pods, IngressClasses and bots. It holds what has the operator's label only.
	Cache client.Reader
	// Live reads Secrets: the operator may not list or watch them.
	Live client.Reader
	// Expectations are what was written and the Cache may not show yet.
	Expectations *Expectations
	// Dify asks the apps; nil asks none.
	Dify *Prober
	// Servers asks the webhook servers; nil asks none.
	Servers *Poller
	// GatewayAPI tells what is known of HTTPRoutes.
	GatewayAPI func(ctx context.Context, namespace string) GatewayAPI
	// Operator is what the flags say.
	Operator desired.Operator
	// DefaultClass finds the cluster's default IngressClass where IngressClasses cannot be read.
	DefaultClass func(ctx context.Context, namespace string) (string, Class)
	// ClusterScoped: the operator may read IngressClasses.
	ClusterScoped bool
	// Now is the clock.
	Now func() time.Time

	replicaSets usedConfigs
}

// Bot reads the state of one bot.
func (o *Observer) Bot(ctx context.Context, bot *v1alpha1.WechatBot) (*State, error) {
	s := &State{Now: o.Now(), Servers: Servers{Off: o.Servers == nil}}
	var err error
	api := o.GatewayAPI(ctx, bot.Namespace)
	// Who waits for an address may wait for an HTTPRoute to give it up.
	if !api.Known && (bot.Spec.Gateway != nil || ClaimOf(bot, Address(bot)) == ClaimLost) {
		return nil, ErrNotYetKnown
	}
	s.GatewayAPI, s.GatewayProblem = api.Served, api.Problem
	if err := o.children(ctx, bot, s); err != nil {
		return nil, err
	}
	if err := o.secrets(ctx, bot, s); err != nil {
		return nil, err
	}
	if err := o.conflictingBot(ctx, bot, s); err != nil {
		return nil, err
	}
	if err := o.class(ctx, bot, s); err != nil {
		return nil, err
	}
	if s.TLSListener, err = o.tlsListener(ctx, bot, s); err != nil {
		return nil, err
	}
	if err := o.pods(ctx, bot, s); err != nil {
		return nil, err
	}
	return s, nil
}

// Forget drops what is known of a bot that is gone.
func (o *Observer) Forget(bot types.NamespacedName) {
	o.replicaSets.forget(bot)
	if o.Dify != nil {
		o.Dify.Forget(bot)
	}
	if o.Servers != nil {
		o.Servers.Forget(bot)
	}
}

func (o *Observer) children(ctx context.Context, bot *v1alpha1.WechatBot, s *State) error {
	c := &s.Children
	r := childReader{o.Cache, o.Live, o.Expectations, false}
	// After a start of the operator nothing is known of objects that the caches do not show. One that a changed spec no
	// longer wants would stay.
	if !o.Expectations.Seen(client.ObjectKeyFromObject(bot)) {
		r.thorough = bot.Status.ObservedGeneration != 0 && bot.Status.ObservedGeneration != bot.Generation
	}
	err := firstError(
		get(ctx, r, bot, bot.Name, &c.ServiceAccount),
		get(ctx, r, bot, naming.SessionStore(bot), &c.Role),
		get(ctx, r, bot, naming.SessionStore(bot), &c.RoleBinding),
		get(ctx, r, bot, bot.Name, &c.Deployment),
		get(ctx, r, bot, bot.Name, &c.Service),
		get(ctx, r, bot, bot.Name, &c.Ingress),
		get(ctx, r, bot, bot.Name, &c.PodDisruptionBudget),
		get(ctx, r, bot, bot.Name, &c.NetworkPolicy),
		get(ctx, r, bot, naming.ManagedRedis(bot), &c.RedisConfig),
		get(ctx, r, bot, naming.ManagedRedis(bot), &c.RedisService),
		get(ctx, r, bot, naming.ManagedRedis(bot), &c.RedisPolicy),
		get(ctx, r, bot, naming.ManagedRedis(bot), &c.Redis),
		get(ctx, r, bot, naming.RedisClaim(bot), &c.RedisClaim),
	)
	err = firstError(err, o.configs(ctx, r, bot, c))
	store := serverconfig.ConfigMap{Name: naming.SessionStore(bot)}
	for i, name := range store.Objects() {
		err = firstError(err, get(ctx, r, bot, name, &c.Sessions[i]))
	}
	if err == nil && s.GatewayAPI {
		err = get(ctx, r, bot, bot.Name, &c.HTTPRoute)
	}
	return err
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// object is a pointer to an API type.
type object[T any] interface {
	*T
	client.Object
}

// childReader reads children.
type childReader struct {
	cache, live  client.Reader
	expectations *Expectations
	// thorough: what the cache does not have is looked for live.
	thorough bool
}

// get reads a child as the cache holds it, without a copy, or live where the cache is known to lag behind.
func get[T any, O object[T]](ctx context.Context, r childReader, bot *v1alpha1.WechatBot, name string, into *O) error {
	var found O = new(T)
	key := types.NamespacedName{Namespace: bot.Namespace, Name: name}
	err := r.cache.Get(ctx, key, found, client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency)
	missing := apierrors.IsNotFound(err)
	if err != nil && !missing {
		return fmt.Errorf("reading the %T: %w", found, err)
	}
	var cached client.Object
	if !missing {
		cached = found
	}
	if r.expectations.lags(objectKey{reflect.TypeOf(found), key}, cached) || missing && r.thorough {
		found = new(T)
		err := r.live.Get(ctx, key, found)
		if missing = apierrors.IsNotFound(err); err != nil && !missing {
			return fmt.Errorf("reading the %T: %w", found, err)
		}
		if missing {
			found.SetNamespace(key.Namespace)
			found.SetName(key.Name)
			r.expectations.Deleted(found)
		}
	}
	if !missing {
		*into = found
	}
	return nil
}

// pods looks at the pods of a Deployment that is not available, or whose session store of before is to go, and at that of
// a managed Redis that is not ready.
func (o *Observer) pods(ctx context.Context, bot *v1alpha1.WechatBot, s *State) error {
	c := &s.Children
	if d := c.Deployment; d != nil {
		var pods corev1.PodList
		if err := o.list(ctx, bot, &pods, naming.Server); err != nil {
			return err
		}
		s.Leaving = leaving(pods.Items, bot.Spec.Session.Store())
		if o.Servers != nil {
			s.Servers = o.Servers.Look(bot, pods.Items)
		}
		for i := range pods.Items {
			pod := &pods.Items[i]
			s.PodProblem = max(s.PodProblem, PodProblem(pod))
			s.Stopping = s.Stopping || !pod.DeletionTimestamp.IsZero()
			if since := Unready(pod); !since.IsZero() && d.Status.ReadyReplicas == 0 && (s.Unready.IsZero() || since.Before(s.Unready)) {
				s.Unready = since
			}
		}
		if s.PodProblem == "" && !RolledOut(d) {
			var err error
			if s.PodProblem, err = o.startProblem(ctx, pods.Items, s); err != nil {
				return err
			}
		}
	}
	if c.Redis != nil && c.Redis.Status.ReadyReplicas == 0 {
		var pods corev1.PodList
		if err := o.list(ctx, bot, &pods, naming.Redis); err != nil {
			return err
		}
		for i := range pods.Items {
			s.RedisProblem = max(s.RedisProblem, PodProblem(&pods.Items[i]))
		}
		if s.RedisProblem == "" {
			return o.redisWarning(ctx, bot, pods.Items, s)
		}
	}
	return nil
}

// redisWarning finds what keeps a managed Redis from having a volume or a pod, or the pod from starting: their controllers say so in
// events only.
func (o *Observer) redisWarning(ctx context.Context, bot *v1alpha1.WechatBot, pods []corev1.Pod, s *State) (err error) {
	if claim := s.Children.RedisClaim; claim != nil && claim.Status.Phase == corev1.ClaimPending {
		s.RedisProblem, err = o.warning(ctx, bot.Namespace, "PersistentVolumeClaim", claim.Name)
	}
	if s.RedisProblem == "" && err == nil && s.Children.Redis.Status.Replicas == 0 {
		s.RedisProblem, err = o.warning(ctx, bot.Namespace, "StatefulSet", s.Children.Redis.Name)
	}
	if s.RedisProblem == "" && err == nil {
		s.RedisProblem, err = o.startProblem(ctx, pods, s)
	}
	return err
}

// warning is the newest Warning about an object, as reason and message; empty if there is none.
func (o *Observer) warning(ctx context.Context, namespace, kind, name string) (string, error) {
	var found corev1.EventList
	err := o.Live.List(ctx, &found, client.InNamespace(namespace), client.MatchingFields{
		"involvedObject.kind": kind, "involvedObject.name": name, "type": corev1.EventTypeWarning,
	})
	if err != nil {
		return "", fmt.Errorf("listing the events of %s %s: %w", kind, name, err)
	}
	return newestWarning(found.Items), nil
}

func (o *Observer) list(ctx context.Context, bot *v1alpha1.WechatBot, pods *corev1.PodList, component string) error {
	err := o.Cache.List(ctx, pods, client.InNamespace(bot.Namespace), owned(bot, component), client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency)
	if err != nil {
		return fmt.Errorf("listing the pods: %w", err)
	}
	return nil
}
