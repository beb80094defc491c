// Package observe reads what there is of one bot: its children and the pods' troubles from the caches, the named
// Secrets live, the domain's other claimants, and what Dify says of the app. The result is a plain State without any
// secret.
//
// It writes nothing and judges nothing: what a fact means for the bot is report's to say.
package observe

import (
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
)

// State is what was found of one bot.
type State struct {
	// Now is when it was looked at.
	Now time.Time
	// Children are the live objects. They are shared with the caches: not to be changed.
	Children Children
	// Secrets are the referenced keys that cannot be used, in the spec's order.
	Secrets []SecretProblem
	// Dify is what is known of the app.
	Dify Dify
	// Servers is what the webhook servers say of themselves.
	Servers Servers
	// PodProblem is the pods' own reason for not being ready, in words that stay the same while it does; empty if none
	// is known.
	PodProblem string
	// RedisProblem is the same of a managed Redis.
	RedisProblem string
	// StartLook is when to look at events for what keeps a pod from starting, if it has not started by then; zero if none starts.
	StartLook time.Time
	// Unready is since when a server has run without being ready, which it is when its session store answers; zero if none
	// does, or if others are ready.
	Unready time.Time
	// Stopping: servers that were told to stop still run. It is known where there is a session store of before.
	Stopping bool
	// Leaving is until when a server of another template than the Deployment's may be sent pushes, though it was told to stop;
	// zero if there is none.
	Leaving time.Time
	// RolloutWaits: the pods are those of another version of the operator, and are replaced when others have been.
	RolloutWaits bool
	// GatewayAPI: the cluster knows HTTPRoutes.
	GatewayAPI bool
	// GatewayProblem is why HTTPRoutes cannot be listed; nil if they can, or if the cluster does not know them.
	GatewayProblem error
	// Class is whether the Ingress's class is there, and Classes what else is known of IngressClasses.
	Class   Class
	Classes Classes
	// TLSListener is whether the bot's Gateways serve its domain over TLS.
	TLSListener TLSListener
	// ConflictingBot is the bot that has the same domain and path and keeps it, nil if there is none.
	ConflictingBot *types.NamespacedName
	// ConflictMoves: that bot's spec says another address by now, but its Ingress or HTTPRoute does not yet.
	ConflictMoves bool
	// Certificate is that of the Ingress's domain.
	Certificate Certificate
}

// Surroundings is what desired needs of the state.
func (s *State) Surroundings() desired.Surroundings {
	c := &s.Children
	around := desired.Surroundings{
		AddressConflict: s.ConflictingBot != nil, GatewayAPI: s.GatewayAPI,
		ConfigMaps: c.hasSessions(), Redis: c.Redis != nil,
		ForeignCertificate: s.Certificate.Foreign, DefaultClass: s.Classes.Default,
	}
	if c.Ingress != nil && c.Ingress.Spec.IngressClassName != nil {
		around.LiveClass = *c.Ingress.Spec.IngressClassName
	}
	if d := c.Deployment; d != nil {
		around.Rollout = desired.Rollout{
			Config:   d.Spec.Template.Annotations[desired.AnnotationConfig],
			Complete: RolledOut(d) && !s.Stopping,
		}
	}
	if c.Redis != nil && len(c.Redis.Spec.VolumeClaimTemplates) > 0 {
		around.Claim = &c.Redis.Spec.VolumeClaimTemplates[0]
	}
	if c.RedisClaim != nil {
		around.Volume = *c.RedisClaim.Spec.Resources.Requests.Storage()
	}
	return around
}

// RolledOut tells whether all pods of a Deployment are of its template, and serve.
func RolledOut(d *appsv1.Deployment) bool {
	return d.Status.ObservedGeneration >= d.Generation && d.Spec.Replicas != nil &&
		d.Status.UpdatedReplicas == *d.Spec.Replicas && d.Status.Replicas == *d.Spec.Replicas &&
		d.Status.AvailableReplicas == *d.Spec.Replicas
}

// Children are the live objects with the names of a bot's children, nil where there is none.
type Children struct {
	ServiceAccount *corev1.ServiceAccount
	Role           *rbacv1.Role
	RoleBinding    *rbacv1.RoleBinding
	Sessions       [serverconfig.SessionObjects]*corev1.ConfigMap
	Config         *corev1.ConfigMap
	// UnusedConfigs are configurations of before that no server can be started with any more.
	UnusedConfigs       []*corev1.ConfigMap
	Deployment          *appsv1.Deployment
	Service             *corev1.Service
	Ingress             *networkingv1.Ingress
	HTTPRoute           *gatewayv1.HTTPRoute
	PodDisruptionBudget *policyv1.PodDisruptionBudget
	NetworkPolicy       *networkingv1.NetworkPolicy

	// Password is the Secret of a managed Redis, without its content.
	Password     *corev1.Secret
	RedisConfig  *corev1.ConfigMap
	RedisService *corev1.Service
	RedisPolicy  *networkingv1.NetworkPolicy
	Redis        *appsv1.StatefulSet
	// RedisClaim is what the StatefulSet's controller made.
	RedisClaim *corev1.PersistentVolumeClaim
}

// HasOldStore tells whether there is a session store that the bot no longer wants.
func (c *Children) HasOldStore(bot *v1alpha1.WechatBot) bool {
	store := bot.Spec.Session.Store()
	return store != v1alpha1.StoreConfigMap && c.hasSessions() || store != v1alpha1.StoreManagedRedis && c.Redis != nil
}

func (c *Children) hasSessions() bool {
	return slices.ContainsFunc(c.Sessions[:], func(s *corev1.ConfigMap) bool { return s != nil })
}
