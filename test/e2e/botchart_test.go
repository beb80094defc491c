//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	autoscaling "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// botChart: one release of charts/wechatbot is one bot, and an autoscaler scales it.
func (c *cluster) botChart(t *testing.T) string {
	namespace := c.namespace(t, "e2e-chart")
	b := c.redisBot(t, namespace, true)
	delete(b.manifest.Object["spec"].(map[string]any), "tokenSecretRef")
	delete(b.manifest.Object["spec"].(map[string]any)["dify"].(map[string]any), "apiKeySecretRef")
	delete(b.manifest.Object["spec"].(map[string]any), "replicas")
	values, err := yaml.Marshal(map[string]any{
		"spec": b.manifest.Object["spec"], "secret": map[string]any{"token": b.token, "difyKey": "app-e2eDifyKey"},
	})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := c.run(t.Context(), string(values), "helm", "install", b.name, "./charts/wechatbot", "--namespace", namespace, "--values", "-"); err != nil {
		t.Fatal(err)
	}
	b.ready(t)
	took := time.Since(began)
	b.reachable(t)
	chat := b.chat(t, 6)
	chat.answered(t, 12)

	c.apply(t, namespace, fmt.Sprintf(`
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: %[1]s}
spec:
  scaleTargetRef: {apiVersion: wechatbot.dev/v1alpha1, kind: WechatBot, name: %[1]s}
  minReplicas: 2
  maxReplicas: 3
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}]
`, b.name))
	began = time.Now()
	b.recovered(t, 2)
	scaled := time.Since(began)
	utilization := b.autoscaled(t)
	chat.more(t, 12)
	o := chat.finish(t)
	c.helm(t, "uninstall", b.name, "--namespace", namespace, "--wait")
	await(t, readyWithin, "the bot is gone", func() (bool, string, error) {
		left := c.kubectl(t, "--namespace", namespace, "get", "wechatbots,deployments,secrets", "--selector=app.kubernetes.io/instance="+b.name, "-o", "name")
		return left == "", strings.ReplaceAll(left, "\n", " "), nil
	})
	return fmt.Sprintf("helm install to Ready %s; an HPA with at least 2 had them ready after %s and reads %s of CPU: %s",
		seconds(took), seconds(scaled), utilization, o)
}

// autoscaled waits until the autoscaler reads the pods' CPU, by the bot's own selector.
func (b *bot) autoscaled(t *testing.T) (utilization string) {
	t.Helper()
	await(t, 2*time.Minute, "the autoscaler is active", func() (bool, string, error) {
		var hpa autoscaling.HorizontalPodAutoscaler
		if err := b.client.Get(t.Context(), client.ObjectKey{Namespace: b.namespace, Name: b.name}, &hpa); err != nil {
			return false, "", err
		}
		var conditions []metav1.Condition
		for _, condition := range hpa.Status.Conditions {
			conditions = append(conditions, metav1.Condition{
				Type: string(condition.Type), Status: metav1.ConditionStatus(condition.Status), Reason: condition.Reason, Message: condition.Message,
			})
		}
		active := meta.FindStatusCondition(conditions, string(autoscaling.ScalingActive))
		if active == nil {
			return false, "it has said nothing", nil
		}
		for _, m := range hpa.Status.CurrentMetrics {
			if m.Resource != nil && m.Resource.Current.AverageUtilization != nil {
				utilization = fmt.Sprintf("%d %%", *m.Resource.Current.AverageUtilization)
			}
		}
		return active.Status == metav1.ConditionTrue && utilization != "", active.Reason + ": " + active.Message, nil
	})
	return utilization
}
