package desired

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	corev1 "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// mergePodTemplate merges the user's pod template over the operator's, as kubectl patch does. Its error is an
// *InvalidError.
func mergePodTemplate(own *corev1.PodTemplateSpecApplyConfiguration, patch *runtime.RawExtension) (*corev1.PodTemplateSpecApplyConfiguration, error) {
	if patch == nil || len(patch.Raw) == 0 {
		return own, nil
	}
	original, err := json.Marshal(own)
	if err != nil {
		return nil, fmt.Errorf("encoding the pod template: %w", err)
	}
	merged, err := strategicpatch.StrategicMergePatch(original, patch.Raw, core.PodTemplateSpec{})
	if err != nil {
		return nil, invalidPodTemplate("cannot be merged: " + err.Error())
	}
	// An unknown field would be dropped in silence by the API server.
	var checked core.PodTemplateSpec
	strict := json.NewDecoder(bytes.NewReader(merged))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&checked); err != nil {
		return nil, invalidPodTemplate("is not a pod template: " + err.Error())
	}
	if !slices.ContainsFunc(checked.Spec.Containers, func(c core.Container) bool { return c.Name == naming.ServerContainer }) {
		return nil, invalidPodTemplate("removes the container named server")
	}
	result := corev1.PodTemplateSpec()
	if err := json.Unmarshal(merged, result); err != nil {
		return nil, invalidPodTemplate("is not a pod template: " + err.Error())
	}
	return result, nil
}

func invalidPodTemplate(what string) *InvalidError {
	return &InvalidError{v1alpha1.ReasonInvalidPodTemplate, "spec.podTemplate " + what}
}
