package observe

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
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
	// Dify asks the apps; nil asks none.
	Dify *Prober
	// GatewayAPI tells whether the cluster knows HTTPRoutes and they are watched.
	GatewayAPI func(context.Context) (bool, error)
	// Operator is what the flags say.
	Operator desired.Operator
	// ClusterScoped: the operator may read IngressClasses.
	ClusterScoped bool
	// Now is the clock.
	Now func() time.Time

	replicaSets usedConfigs
}

// Bot reads the state of one bot.
func (o *Observer) Bot(ctx context.Context, bot *v1alpha1.WechatBot) (*State, error) {
	s := &State{Now: o.Now()}
	var err error
	if s.GatewayAPI, err = o.GatewayAPI(ctx); err != nil {
		return nil, fmt.Errorf("looking for the Gateway API: %w", err)
	}
	if err := o.children(ctx, bot, s); err != nil {
		return nil, err
	}
	if err := o.secrets(ctx, bot, s); err != nil {
		return nil, err
	}
	if s.ConflictingBot, err = o.conflictingBot(ctx, bot); err != nil {
		return nil, err
	}
	if s.Class, err = o.class(ctx, bot); err != nil {
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
}

func (o *Observer) children(ctx context.Context, bot *v1alpha1.WechatBot, s *State) error {
	c := &s.Children
	err := firstError(
		get(ctx, o.Cache, bot, bot.Name, &c.ServiceAccount),
		get(ctx, o.Cache, bot, naming.SessionStore(bot), &c.Role),
		get(ctx, o.Cache, bot, naming.SessionStore(bot), &c.RoleBinding),
		get(ctx, o.Cache, bot, bot.Name, &c.Deployment),
		get(ctx, o.Cache, bot, bot.Name, &c.Service),
		get(ctx, o.Cache, bot, bot.Name, &c.Ingress),
		get(ctx, o.Cache, bot, bot.Name, &c.PodDisruptionBudget),
		get(ctx, o.Cache, bot, bot.Name, &c.NetworkPolicy),
		get(ctx, o.Cache, bot, naming.ManagedRedis(bot), &c.RedisConfig),
		get(ctx, o.Cache, bot, naming.ManagedRedis(bot), &c.RedisService),
		get(ctx, o.Cache, bot, naming.ManagedRedis(bot), &c.RedisPolicy),
		get(ctx, o.Cache, bot, naming.ManagedRedis(bot), &c.Redis),
		get(ctx, o.Cache, bot, naming.RedisClaim(bot), &c.RedisClaim),
	)
	err = firstError(err, o.configs(ctx, bot, c))
	store := serverconfig.ConfigMap{Name: naming.SessionStore(bot)}
	for i, name := range store.Objects() {
		err = firstError(err, get(ctx, o.Cache, bot, name, &c.Sessions[i]))
	}
	if err == nil && s.GatewayAPI {
		err = get(ctx, o.Cache, bot, bot.Name, &c.HTTPRoute)
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

// get reads a child as the cache holds it, without a copy.
func get[T any, O object[T]](ctx context.Context, from client.Reader, bot *v1alpha1.WechatBot, name string, into *O) error {
	var found O = new(T)
	err := from.Get(ctx, types.NamespacedName{Namespace: bot.Namespace, Name: name}, found, client.UnsafeDisableDeepCopy)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("reading the %T: %w", found, err)
	}
	*into = found
	return nil
}

// class looks for the bot's IngressClass.
func (o *Observer) class(ctx context.Context, bot *v1alpha1.WechatBot) (Class, error) {
	if !o.ClusterScoped || !desired.HasIngress(bot) {
		return ClassUnknown, nil
	}
	name := desired.IngressClass(bot, o.Operator)
	var classes networkingv1.IngressClassList
	if err := o.Cache.List(ctx, &classes, client.UnsafeDisableDeepCopy); err != nil {
		return ClassUnknown, fmt.Errorf("listing IngressClasses: %w", err)
	}
	for i := range classes.Items {
		class := &classes.Items[i]
		if class.Name == name || name == "" && class.Annotations[networkingv1.AnnotationIsDefaultIngressClass] == "true" {
			return ClassFound, nil
		}
	}
	if name == "" {
		return NoDefaultClass, nil
	}
	return ClassMissing, nil
}

// IndexAddress is the cache's index of bots by what they are reached at.
const IndexAddress = "address"

// Address is the bot's value in IndexAddress.
func Address(bot *v1alpha1.WechatBot) string { return desired.URL(bot) }

// conflictingBot finds the older bot with the same domain and path. Of two made in the same second, the first by name keeps it.
func (o *Observer) conflictingBot(ctx context.Context, bot *v1alpha1.WechatBot) (*types.NamespacedName, error) {
	var claimants v1alpha1.WechatBotList
	err := o.Cache.List(ctx, &claimants, client.MatchingFields{IndexAddress: Address(bot)}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("listing the bots of %s: %w", bot.Spec.Domain, err)
	}
	first := bot
	for i := range claimants.Items {
		if other := &claimants.Items[i]; other.DeletionTimestamp.IsZero() && older(other, first) {
			first = other
		}
	}
	if first == bot || first.UID == bot.UID {
		return nil, nil //nolint:nilnil // nobody else has it
	}
	return &types.NamespacedName{Namespace: first.Namespace, Name: first.Name}, nil
}

func older(a, b *v1alpha1.WechatBot) bool {
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.CreationTimestamp.Before(&b.CreationTimestamp)
	}
	return a.Namespace+"/"+a.Name < b.Namespace+"/"+b.Name
}

// pods looks at the pods of a Deployment that is not available, or whose session store of before is to go, and at that of
// a managed Redis that is not ready.
func (o *Observer) pods(ctx context.Context, bot *v1alpha1.WechatBot, s *State) error {
	c := &s.Children
	if d := c.Deployment; d != nil && (c.HasOldStore(bot) || d.Status.AvailableReplicas < bot.Spec.Replicas || d.Status.UnavailableReplicas > 0) {
		var pods corev1.PodList
		if err := o.list(ctx, bot, &pods, naming.Selector(bot)); err != nil {
			return err
		}
		for i := range pods.Items {
			pod := &pods.Items[i]
			s.PodProblem = max(s.PodProblem, PodProblem(pod))
			s.Stopping = s.Stopping || !pod.DeletionTimestamp.IsZero()
			if since := Unready(pod); !since.IsZero() && d.Status.ReadyReplicas == 0 && (s.Unready.IsZero() || since.Before(s.Unready)) {
				s.Unready = since
			}
		}
	}
	if c.Redis != nil && c.Redis.Status.ReadyReplicas == 0 {
		var pods corev1.PodList
		if err := o.list(ctx, bot, &pods, naming.RedisSelector(bot)); err != nil {
			return err
		}
		for i := range pods.Items {
			s.RedisProblem = max(s.RedisProblem, PodProblem(&pods.Items[i]))
		}
	}
	return nil
}

func (o *Observer) list(ctx context.Context, bot *v1alpha1.WechatBot, pods *corev1.PodList, selector map[string]string) error {
	err := o.Cache.List(ctx, pods, client.InNamespace(bot.Namespace), client.MatchingLabels(selector), client.UnsafeDisableDeepCopy)
	if err != nil {
		return fmt.Errorf("listing the pods: %w", err)
	}
	return nil
}
