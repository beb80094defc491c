package desired_test

import (
	"encoding/json"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
)

// What the CRD lets through as it is, is read as strictly as the API server would read a pod.
func TestRedisScheduling(t *testing.T) {
	type managed = v1alpha1.ManagedRedis
	field := func(content string) v1alpha1.PodField {
		return v1alpha1.PodField{RawExtension: runtime.RawExtension{Raw: []byte(content)}}
	}
	for name, c := range map[string]struct {
		change       func(*managed)
		wrong, holds string
	}{
		"a toleration":          {func(m *managed) { m.Tolerations = []v1alpha1.PodField{field(`{"key": "a", "operator": "Exists"}`)} }, "", `"tolerations":[{"key":"a","operator":"Exists"}]`},
		"an unknown field":      {func(m *managed) { m.Tolerations = []v1alpha1.PodField{field(`{}`), field(`{"keys": "a"}`)} }, `spec.session.redis.managed.tolerations[1] is not what a pod's spec has there: unknown field "keys"`, ""},
		"another case":          {func(m *managed) { m.Tolerations = []v1alpha1.PodField{field(`{"Key": "a"}`)} }, `unknown field "Key"`, ""},
		"a wrong type":          {func(m *managed) { m.TopologySpreadConstraints = []v1alpha1.PodField{field(`{"maxSkew": "one"}`)} }, "topologySpreadConstraints[0]", ""},
		"an unknown affinity":   {func(m *managed) { a := field(`{"nodeAffinities": {}}`); m.Affinity = &a }, `affinity is not`, ""},
		"a known one":           {func(m *managed) { a := field(`{"podAntiAffinity": {}}`); m.Affinity = &a }, "", `"affinity":{"podAntiAffinity":{}}`},
		"labels of nodes":       {func(m *managed) { m.NodeSelector = map[string]string{"disk": "nvme"} }, "", `"nodeSelector":{"disk":"nvme"}`},
		"a class of priorities": {func(m *managed) { m.PriorityClassName = "top" }, "", `"priorityClassName":"top"`},
	} {
		bot := sample(t, "managed-redis")
		c.change(bot.Spec.Session.Redis.Managed)
		children, err := desired.All(bot, operator, desired.Surroundings{})
		if c.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%s: got %v, want %q", name, err, c.wrong)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		pod, err := json.Marshal(children.Redis.Spec.Template.Spec)
		if err != nil || !strings.Contains(string(pod), c.holds) {
			t.Errorf("%s: no %s in (%v) %s", name, c.holds, err, pod)
		}
	}
}
