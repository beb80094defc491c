package controllers

import (
	"errors"
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/apply"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// CacheOptions limit the caches to the given namespaces (none: all) and to what the operator made. The
// operator's managedFields stay on children, and no others anywhere; conversations and the specs of pods go.
func CacheOptions(namespaces []string) cache.Options {
	o := cache.Options{
		// The default is that of children. HTTPRoutes must not be named: the cluster may not know them.
		DefaultLabelSelector: labels.SelectorFromSet(labels.Set{naming.LabelManagedBy: naming.ManagedBy}),
		DefaultTransform:     apply.Slim(),
		ByObject: map[client.Object]cache.ByObject{
			&v1alpha1.WechatBot{}:        {Label: labels.Everything(), Transform: apply.SlimBot()},
			&networkingv1.IngressClass{}: {Label: labels.Everything(), Transform: cache.TransformStripManagedFields()},
			&corev1.Pod{}:                {Transform: onlyStatus},
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

// onlyStatus leaves of a pod what says where it is and why it is not ready.
func onlyStatus(o any) (any, error) {
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return o, nil
	}
	pod.ManagedFields, pod.Annotations, pod.OwnerReferences, pod.Spec = nil, nil, nil, corev1.PodSpec{}
	s := &pod.Status
	pod.Status = corev1.PodStatus{
		Phase: s.Phase, PodIP: s.PodIP, InitContainerStatuses: s.InitContainerStatuses, ContainerStatuses: s.ContainerStatuses,
		Conditions: slices.Clip(slices.DeleteFunc(s.Conditions, func(c corev1.PodCondition) bool {
			return c.Type != corev1.PodReady && c.Type != corev1.PodScheduled && c.Type != corev1.ContainersReady
		})),
	}
	for _, containers := range [][]corev1.ContainerStatus{s.InitContainerStatuses, s.ContainerStatuses} {
		for i := range containers {
			c := &containers[i]
			*c = corev1.ContainerStatus{
				Name: c.Name, Image: c.Image, State: c.State, LastTerminationState: c.LastTerminationState, Ready: c.Ready,
				RestartCount: c.RestartCount, Started: c.Started,
			}
		}
	}
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
