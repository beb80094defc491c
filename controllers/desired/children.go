// Package desired says what should be there for a bot: one function a child, from the bot and the operator's settings
// to an apply configuration that holds what the operator owns and nothing else.
//
// It is pure: it knows no client, no context and no clock, and equal inputs give equal results in every release, but
// for what a release means to change.
package desired

import (
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	appsv1 "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1 "k8s.io/client-go/applyconfigurations/core/v1"
	metav1 "k8s.io/client-go/applyconfigurations/meta/v1"
	networkingv1 "k8s.io/client-go/applyconfigurations/networking/v1"
	policyv1 "k8s.io/client-go/applyconfigurations/policy/v1"
	rbacv1 "k8s.io/client-go/applyconfigurations/rbac/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/applyconfiguration/apis/v1"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
)

// Operator is what the operator's flags say for all bots.
type Operator struct {
	// Image is the webhook server's image where a bot names none: the operator's own.
	Image string
	// IngressClass is used where a bot names none; empty leaves it to the cluster's default class.
	IngressClass string
	// RedisImage is the image of a managed Redis where a bot names none; empty means DefaultRedisImage.
	RedisImage string
	// Issuer gets the certificate where a bot names no issuer; nil for none.
	Issuer *v1alpha1.IssuerRef
}

// Surroundings are what of the cluster decides about a bot's children.
type Surroundings struct {
	// AddressConflict: another bot has the same domain and path, so this one must not be exposed.
	AddressConflict bool
	// ForeignCertificate: the certificate's Secret is there, and cert-manager did not make it for this bot.
	ForeignCertificate bool
	// DefaultClass is the cluster's default IngressClass, LiveClass that of the bot's Ingress as it is; empty where there
	// is none, or where it is not known.
	DefaultClass, LiveClass string
	// GatewayAPI: the cluster knows HTTPRoutes.
	GatewayAPI bool
	// Rollout is how far the servers' Deployment is.
	Rollout Rollout
	// ConfigMaps: there are ConfigMaps of a session store. Redis: there is a managed Redis.
	ConfigMaps, Redis bool
	// Claim is the claim that the StatefulSet of a managed Redis makes volumes by, nil without one: it never changes.
	Claim *core.PersistentVolumeClaim
	// Volume is what the volume of a managed Redis was asked to hold; zero without one.
	Volume resource.Quantity
}

// Rollout is how far the servers' Deployment is with what it was last told.
type Rollout struct {
	// Config is the AnnotationConfig of its pod template; empty without a Deployment.
	Config string
	// Complete: all its pods are of that template and ready, and no other server is still stopping.
	Complete bool
}

// Children are the objects of one bot; nil is one that should not be there.
type Children struct {
	ServiceAccount      *corev1.ServiceAccountApplyConfiguration
	Role                *rbacv1.RoleApplyConfiguration
	RoleBinding         *rbacv1.RoleBindingApplyConfiguration
	Sessions            [serverconfig.SessionObjects]*corev1.ConfigMapApplyConfiguration
	Config              *corev1.ConfigMapApplyConfiguration
	Deployment          *appsv1.DeploymentApplyConfiguration
	Service             *corev1.ServiceApplyConfiguration
	Ingress             *networkingv1.IngressApplyConfiguration
	HTTPRoute           *gatewayv1.HTTPRouteApplyConfiguration
	PodDisruptionBudget *policyv1.PodDisruptionBudgetApplyConfiguration
	NetworkPolicy       *networkingv1.NetworkPolicyApplyConfiguration

	// Password is the Secret of a managed Redis, without its content. It is made once and never written again.
	Password     *corev1.SecretApplyConfiguration
	RedisConfig  *corev1.ConfigMapApplyConfiguration
	RedisService *corev1.ServiceApplyConfiguration
	RedisPolicy  *networkingv1.NetworkPolicyApplyConfiguration
	Redis        *appsv1.StatefulSetApplyConfiguration
	// RedisVolume is what the volume of a managed Redis should hold at least; zero without one.
	RedisVolume resource.Quantity

	// RetainPods: the Deployment and the StatefulSet of a managed Redis stay as they are for now.
	RetainPods bool
	// RetainedStores are previous stores that servers may still use: neither changed nor removed.
	RetainedStores RetainedStores
}

// RetainedStores names session stores that are neither changed nor removed.
type RetainedStores struct {
	// ConfigMaps are those of the session store, with the Role and RoleBinding. Redis is all of a managed Redis.
	ConfigMaps, Redis bool
}

// InvalidError is a spec that cannot be carried out until someone changes it.
type InvalidError struct {
	// Reason is a reason of the condition Stalled.
	Reason string
	// Message names the field and says what to do.
	Message string
}

// Error gives the message.
func (e *InvalidError) Error() string { return e.Message }

// All gives the children that should be there. Its error is an *InvalidError: then none of them is to be touched.
func All(bot *v1alpha1.WechatBot, operator Operator, around Surroundings) (*Children, error) {
	config := Config(bot)
	if err := config.Check(); err != nil {
		return nil, &InvalidError{v1alpha1.ReasonInvalidSpec, "the webhook server would refuse spec." + err.Error()}
	}
	hash := config.StartHash()
	deployment, err := Deployment(bot, operator, hash)
	if err != nil {
		return nil, err
	}
	c := &Children{
		ServiceAccount: ServiceAccount(bot),
		Config:         ConfigMap(bot, config, hash),
		Deployment:     deployment,
		Service:        Service(bot),
	}
	if err := c.store(bot, operator, around, hash); err != nil {
		return nil, err
	}
	switch {
	case around.AddressConflict:
	case bot.Spec.Gateway != nil:
		if around.GatewayAPI {
			c.HTTPRoute = HTTPRoute(bot)
		}
	case HasIngress(bot):
		c.Ingress = Ingress(bot, operator, around)
	}
	if bot.Spec.DesiredReplicas() > 1 {
		c.PodDisruptionBudget = PodDisruptionBudget(bot)
	}
	if bot.Spec.NetworkPolicy.Enabled {
		c.NetworkPolicy = NetworkPolicy(bot)
	}
	return c, nil
}

// store adds the session store. One of before stays until no server uses it.
func (c *Children) store(bot *v1alpha1.WechatBot, operator Operator, around Surroundings, hash string) error {
	store := bot.Spec.Session.Store()
	switching := around.Rollout.Config != "" && (around.Rollout.Config != hash || !around.Rollout.Complete)
	c.RetainedStores = RetainedStores{
		ConfigMaps: switching && around.ConfigMaps && store != v1alpha1.StoreConfigMap,
		Redis:      switching && around.Redis && store != v1alpha1.StoreManagedRedis,
	}
	switch store {
	case v1alpha1.StoreConfigMap:
		c.Sessions, c.Role, c.RoleBinding = Sessions(bot), Role(bot), RoleBinding(bot)
	case v1alpha1.StoreManagedRedis:
		return c.managedRedis(bot, operator, around)
	case v1alpha1.StoreExternalRedis:
	}
	return nil
}

// owner makes the bot the controller of a child. It does not block the bot's deletion: that would need the right to
// update the bot's finalizers.
func owner(bot *v1alpha1.WechatBot) *metav1.OwnerReferenceApplyConfiguration {
	return metav1.OwnerReference().
		WithAPIVersion(v1alpha1.SchemeGroupVersion.String()).WithKind("WechatBot").
		WithName(bot.Name).WithUID(bot.UID).WithController(true)
}
