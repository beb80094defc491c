package desired

import (
	"encoding/json"
	"fmt"

	core "k8s.io/api/core/v1"
	corev1 "k8s.io/client-go/applyconfigurations/core/v1"
	kjson "sigs.k8s.io/json"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
)

// schedule has the pod of a managed Redis run where the spec says. Its error is an *InvalidError.
func schedule(pod *corev1.PodSpecApplyConfiguration, spec *v1alpha1.ManagedRedis) error {
	if len(spec.NodeSelector) > 0 {
		pod.WithNodeSelector(spec.NodeSelector)
	}
	if spec.PriorityClassName != "" {
		pod.WithPriorityClassName(spec.PriorityClassName)
	}
	for i := range spec.Tolerations {
		toleration, err := podField[core.Toleration](&spec.Tolerations[i], fmt.Sprintf("tolerations[%d]", i), corev1.Toleration())
		if err != nil {
			return err
		}
		pod.WithTolerations(toleration)
	}
	for i := range spec.TopologySpreadConstraints {
		constraint, err := podField[core.TopologySpreadConstraint](&spec.TopologySpreadConstraints[i],
			fmt.Sprintf("topologySpreadConstraints[%d]", i), corev1.TopologySpreadConstraint())
		if err != nil {
			return err
		}
		pod.WithTopologySpreadConstraints(constraint)
	}
	if spec.Affinity == nil {
		return nil
	}
	affinity, err := podField[core.Affinity](spec.Affinity, "affinity", corev1.Affinity())
	if err != nil {
		return err
	}
	pod.WithAffinity(affinity)
	return nil
}

// podField reads a part of a pod's spec as strictly as the API server reads a pod: it would drop unknown fields in
// silence.
func podField[Typed, Applied any](field *v1alpha1.PodField, name string, into *Applied) (*Applied, error) {
	invalid := func(err error) error {
		return &InvalidError{v1alpha1.ReasonInvalidSpec, fmt.Sprintf("spec.session.redis.managed.%s is not what a pod's spec has there: %s", name, err)}
	}
	strict, err := kjson.UnmarshalStrict(field.Raw, new(Typed))
	switch {
	case err != nil:
		return nil, invalid(err)
	case len(strict) > 0:
		return nil, invalid(strict[0])
	}
	if err := json.Unmarshal(field.Raw, into); err != nil {
		return nil, invalid(err)
	}
	return into, nil
}
