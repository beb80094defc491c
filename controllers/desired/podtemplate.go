package desired

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	corev1 "k8s.io/client-go/applyconfigurations/core/v1"
	strictjson "sigs.k8s.io/json"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// mergePodTemplate merges the user's pod template over the operator's, as kubectl patch does. Its error is an
// *InvalidError.
func mergePodTemplate(own *corev1.PodTemplateSpecApplyConfiguration, patch *runtime.RawExtension) (*corev1.PodTemplateSpecApplyConfiguration, error) {
	if patch == nil || len(patch.Raw) == 0 {
		return own, nil
	}
	if err := checkFields(patch.Raw); err != nil {
		return nil, err
	}
	original, err := json.Marshal(own)
	if err != nil {
		return nil, fmt.Errorf("encoding the pod template: %w", err)
	}
	merged, err := strategicpatch.StrategicMergePatch(original, patch.Raw, core.PodTemplateSpec{})
	if err != nil {
		return nil, invalidPodTemplate("cannot be merged: " + err.Error())
	}
	var before, after core.PodTemplateSpec
	if err := json.Unmarshal(original, &before); err != nil {
		return nil, fmt.Errorf("reading the pod template: %w", err)
	}
	if err := strictDecode(merged, &after); err != nil {
		return nil, invalidPodTemplate("is not a pod template: " + err.Error())
	}
	if err := checkReserved(&before, &after); err != nil {
		return nil, err
	}
	result := corev1.PodTemplateSpec()
	if err := json.Unmarshal(merged, result); err != nil {
		return nil, invalidPodTemplate("is not a pod template: " + err.Error())
	}
	return result, nil
}

// checkFields refuses fields that no pod template has, before anything is merged: the API server would drop them in
// silence, and in Go's own reading hostnetwork is hostNetwork.
func checkFields(patch []byte) error {
	var fields map[string]any
	if err := json.Unmarshal(patch, &fields); err != nil {
		return invalidPodTemplate("is not an object: " + err.Error())
	}
	plain, err := json.Marshal(withoutDirectives(fields))
	if err != nil {
		return invalidPodTemplate("cannot be read: " + err.Error())
	}
	var template core.PodTemplateSpec
	if err := strictDecode(plain, &template); err != nil {
		return invalidPodTemplate("is not a pod template: " + err.Error())
	}
	return nil
}

// withoutDirectives takes out of a strategic merge patch what is an instruction and no field: $patch and its like.
func withoutDirectives(value any) any {
	switch value := value.(type) {
	case map[string]any:
		plain := map[string]any{}
		for key, field := range value {
			if !strings.HasPrefix(key, "$") {
				plain[key] = withoutDirectives(field)
			}
		}
		return plain
	case []any:
		plain := make([]any, len(value))
		for i := range value {
			plain[i] = withoutDirectives(value[i])
		}
		return plain
	}
	return value
}

// strictDecode reads JSON as the API server does: keys are of one case, known, and there once.
func strictDecode(content []byte, into any) error {
	problems, err := strictjson.UnmarshalStrict(content, into)
	if err == nil && len(problems) > 0 {
		err = problems[0]
	}
	return err
}

// checkReserved refuses a template in which something is not as the operator made it that the bot cannot do without:
// its labels and annotations, its volumes, the server's container, where it has the volumes and what it listens at.
func checkReserved(before, after *core.PodTemplateSpec) error {
	if key, ok := changedKey(before.Annotations, after.Annotations); ok {
		return reserved("the annotation " + key)
	}
	if key, ok := changedKey(before.Labels, after.Labels); ok {
		return reserved("the label " + key)
	}
	for i := range before.Spec.Volumes {
		volume := &before.Spec.Volumes[i]
		at := slices.IndexFunc(after.Spec.Volumes, func(v core.Volume) bool { return v.Name == volume.Name })
		if at < 0 || !equality.Semantic.DeepEqual(*volume, after.Spec.Volumes[at]) {
			return reserved(fmt.Sprintf("the volume %q", volume.Name))
		}
	}
	server, now := serverOf(before), serverOf(after)
	if now == nil {
		return invalidPodTemplate(fmt.Sprintf("removes the container named %s: it is the webhook server's", naming.ServerContainer))
	}
	for _, mount := range server.VolumeMounts {
		if !slices.ContainsFunc(now.VolumeMounts, func(m core.VolumeMount) bool { return equality.Semantic.DeepEqual(m, mount) }) {
			return reserved(fmt.Sprintf("the mount %s of container %s", mount.MountPath, naming.ServerContainer))
		}
	}
	if err := checkPorts(server, after); err != nil {
		return err
	}
	if slices.ContainsFunc(after.Spec.InitContainers, func(c core.Container) bool { return c.Name == naming.ServerContainer }) {
		return reserved(fmt.Sprintf("the container name %s", naming.ServerContainer))
	}
	return nil
}

// checkPorts refuses a template by which the Service, or a probe, would find no port of the server's, or another's: they know
// ports by their names.
func checkPorts(server *core.Container, after *core.PodTemplateSpec) *InvalidError {
	for i := range after.Spec.Containers {
		container := &after.Spec.Containers[i]
		if container.Name != server.Name && slices.ContainsFunc(container.Ports, func(p core.ContainerPort) bool { return p.Name == portWebhook }) {
			return invalidPodTemplate(fmt.Sprintf("gives container %s a port named %s, as the webhook server's is: use another name",
				container.Name, portWebhook))
		}
		if container.Name != server.Name {
			continue
		}
		for _, port := range server.Ports {
			if !slices.ContainsFunc(container.Ports, func(p core.ContainerPort) bool {
				return p.Name == port.Name && p.ContainerPort == port.ContainerPort && p.Protocol == port.Protocol
			}) {
				return reserved(fmt.Sprintf("the port %s (%d) of container %s", port.Name, port.ContainerPort, server.Name))
			}
		}
	}
	return nil
}

// changedKey finds a key of the operator's whose value is another, or one of its domain that it did not set.
func changedKey(before, after map[string]string) (string, bool) {
	for _, key := range slices.Sorted(maps.Keys(before)) {
		if value, ok := after[key]; !ok || value != before[key] {
			return key, true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(after)) {
		if _, ok := before[key]; !ok && strings.HasPrefix(key, v1alpha1.SchemeGroupVersion.Group+"/") {
			return key, true
		}
	}
	return "", false
}

func serverOf(template *core.PodTemplateSpec) *core.Container {
	at := slices.IndexFunc(template.Spec.Containers, func(c core.Container) bool { return c.Name == naming.ServerContainer })
	if at < 0 {
		return nil
	}
	return &template.Spec.Containers[at]
}

func reserved(what string) *InvalidError {
	return invalidPodTemplate("changes " + what + ", which is reserved for the operator: use another name")
}

func invalidPodTemplate(what string) *InvalidError {
	return &InvalidError{v1alpha1.ReasonInvalidPodTemplate, "spec.podTemplate " + what}
}
