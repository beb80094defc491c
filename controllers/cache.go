package controllers

import (
	"errors"
	"maps"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// CacheOptions limit the caches to the given namespaces (none: all) and to what the operator made. managedFields stay
// on children, as they tell what is the operator's, and on nothing else; conversations and the specs of pods go.
func CacheOptions(namespaces []string) cache.Options {
	ours := labels.SelectorFromSet(labels.Set{naming.LabelManagedBy: naming.ManagedBy})
	children := cache.ByObject{Label: ours, Transform: keep}
	o := cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.ServiceAccount{}:        children,
			&rbacv1.Role{}:                  children,
			&rbacv1.RoleBinding{}:           children,
			&corev1.ConfigMap{}:             {Label: ours, Transform: dropConversations},
			&appsv1.Deployment{}:            children,
			&corev1.Service{}:               children,
			&networkingv1.Ingress{}:         children,
			&networkingv1.NetworkPolicy{}:   children,
			&policyv1.PodDisruptionBudget{}: children,
			&gatewayv1.HTTPRoute{}:          children,
			&corev1.Pod{}:                   {Label: ours, Transform: onlyStatus},
			&v1alpha1.WechatBot{}:           {},
			&networkingv1.IngressClass{}:    {},
		},
	}
	if len(namespaces) > 0 {
		o.DefaultNamespaces = map[string]cache.Config{}
		for _, namespace := range namespaces {
			o.DefaultNamespaces[namespace] = cache.Config{}
		}
	}
	return o
}

func keep(o any) (any, error) { return o, nil }

// dropConversations keeps followers' conversations out of the operator's memory.
func dropConversations(o any) (any, error) {
	if store, ok := o.(*corev1.ConfigMap); ok && store.Labels[naming.LabelComponent] == naming.Sessions {
		store.Data, store.BinaryData = nil, nil
	}
	return o, nil
}

// onlyStatus leaves of a pod what says why it is not ready.
func onlyStatus(o any) (any, error) {
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return o, nil
	}
	pod.ManagedFields, pod.Annotations, pod.Spec = nil, nil, corev1.PodSpec{}
	return pod, nil
}

// sameSessions tells whether nothing but the content of a session store changed.
func sameSessions(before, after client.Object) bool {
	return before.GetUID() == after.GetUID() && before.GetDeletionTimestamp().Equal(after.GetDeletionTimestamp()) &&
		maps.Equal(before.GetLabels(), after.GetLabels()) && len(before.GetOwnerReferences()) == len(after.GetOwnerReferences()) &&
		len(before.GetManagedFields()) == len(after.GetManagedFields())
}

func alreadyRegistered(err error) bool {
	_, ok := errors.AsType[prometheus.AlreadyRegisteredError](err)
	return ok
}
