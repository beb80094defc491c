package desired_test

import (
	"errors"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
)

func TestPodTemplate(t *testing.T) {
	const reserved = "which is reserved for the operator"
	for name, c := range map[string]struct {
		patch, wrong, holds string
	}{
		"a node selector":           {`{"spec": {"nodeSelector": {"disk": "ssd"}}}`, "", "disk: ssd"},
		"a variable is added":       {`{"spec": {"containers": [{"name": "server", "env": [{"name": "TZ", "value": "Asia/Shanghai"}]}]}}`, "", "name: GOMEMLIMIT"},
		"a sidecar":                 {`{"spec": {"containers": [{"name": "extra", "image": "x"}]}}`, "", "name: extra"},
		"a probe is removed":        {`{"spec": {"containers": [{"name": "server", "livenessProbe": null}]}}`, "", "readinessProbe"},
		"a volume of one's own":     {`{"spec": {"volumes": [{"name": "tmp", "emptyDir": {}}], "containers": [{"name": "server", "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}]}]}}`, "", "mountPath: /tmp"},
		"annotations and labels":    {`{"metadata": {"annotations": {"a.example.com/b": "c"}, "labels": {"team": "winter"}}}`, "", "team: winter"},
		"a list is ordered":         {`{"spec": {"$setElementOrder/containers": [{"name": "extra"}, {"name": "server"}], "containers": [{"name": "extra", "image": "x"}]}}`, "", "name: extra"},
		"a list is put in place":    {`{"spec": {"topologySpreadConstraints": [{"$patch": "replace"}], "tolerations": [{"$patch": "replace"}, {"key": "a", "operator": "Exists"}]}}`, "", "key: a"},
		"another ServiceAccount":    {`{"spec": {"serviceAccountName": "builder"}}`, "", "serviceAccountName: builder"},
		"an unknown field":          {`{"spec": {"nodeSelectr": {}}}`, "nodeSelectr", ""},
		"a field of another case":   {`{"spec": {"HostNetwork": true}}`, `unknown field "spec.HostNetwork"`, ""},
		"all of another case":       {`{"SPEC": {"nodeSelector": {}}}`, `unknown field "SPEC"`, ""},
		"of another case, in lists": {`{"spec": {"containers": [{"name": "server", "Env": []}]}}`, `unknown field "spec.containers[0].Env"`, ""},
		"a field said twice":        {`{"spec": {"priority": 1, "priority": 2}}`, "", "priority: 2"},
		"a wrong type":              {`{"spec": {"priority": "high"}}`, "is not a pod template", ""},
		"no object":                 {`[]`, "is not an object", ""},
		"no server":                 {`{"spec": {"containers": [{"name": "server", "$patch": "delete"}]}}`, "removes the container named server", ""},
		"only others":               {`{"spec": {"containers": [{"$patch": "replace"}, {"name": "extra", "image": "x"}]}}`, "removes the container named server", ""},
		"the operator's annotation": {`{"metadata": {"annotations": {"wechatbot.dev/config": "mine"}}}`, "the annotation wechatbot.dev/config, " + reserved, ""},
		"one of its domain":         {`{"metadata": {"annotations": {"wechatbot.dev/else": "mine"}}}`, "the annotation wechatbot.dev/else, " + reserved, ""},
		"its annotation is removed": {`{"metadata": {"annotations": null}}`, "the annotation wechatbot.dev/config, " + reserved, ""},
		"its labels":                {`{"metadata": {"labels": {"app.kubernetes.io/instance": "mine"}}}`, "the label app.kubernetes.io/instance, " + reserved, ""},
		"its volume":                {`{"spec": {"volumes": [{"name": "secrets", "hostPath": {"path": "/"}}]}}`, `the volume "secrets", ` + reserved, ""},
		"its volume is removed":     {`{"spec": {"volumes": [{"name": "config", "$patch": "delete"}]}}`, `the volume "config", ` + reserved, ""},
		"all of its volumes":        {`{"spec": {"volumes": [{"$patch": "replace"}]}}`, `the volume "config", ` + reserved, ""},
		"its mount":                 {`{"spec": {"containers": [{"name": "server", "volumeMounts": [{"mountPath": "/etc/wechatbot/secrets", "name": "mine"}]}], "volumes": [{"name": "mine", "emptyDir": {}}]}}`, "the mount /etc/wechatbot/secrets of container server, " + reserved, ""},
		"its port is named anew":    {`{"spec": {"containers": [{"name": "server", "ports": [{"containerPort": 8080, "name": "http"}]}]}}`, "the port webhook (8080) of container server, " + reserved, ""},
		"its ports are removed":     {`{"spec": {"containers": [{"name": "server", "ports": null}]}}`, "the port webhook (8080) of container server, " + reserved, ""},
		"its other port":            {`{"spec": {"containers": [{"name": "server", "ports": [{"containerPort": 9090, "$patch": "delete"}]}]}}`, "the port admin (9090) of container server, " + reserved, ""},
		"a port of its name":        {`{"spec": {"containers": [{"name": "proxy", "image": "x", "ports": [{"containerPort": 80, "name": "webhook"}]}]}}`, "gives container proxy a port named webhook", ""},
		"a port of one's own":       {`{"spec": {"containers": [{"name": "server", "ports": [{"containerPort": 6060, "name": "debug"}, {"containerPort": 8080, "hostPort": 8080}]}]}}`, "", "hostPort: 8080"},
		"its container's name":      {`{"spec": {"initContainers": [{"name": "server", "image": "x"}]}}`, "the container name server, " + reserved, ""},
	} {
		t.Run(name, func(t *testing.T) {
			bot := sample(t, "minimal")
			bot.Spec.PodTemplate = &runtime.RawExtension{Raw: []byte(c.patch)}
			children, err := desired.All(bot, operator, desired.Surroundings{})
			if c.wrong != "" {
				invalid, ok := errors.AsType[*desired.InvalidError](err)
				if !ok || invalid.Reason != v1alpha1.ReasonInvalidPodTemplate || !strings.Contains(err.Error(), c.wrong) {
					t.Errorf("got %v, want %q", err, c.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			template, err := yaml.Marshal(children.Deployment.Spec.Template)
			if err != nil || !strings.Contains(string(template), c.holds) {
				t.Errorf("no %q in (%v)\n%s", c.holds, err, template)
			}
		})
	}
}
