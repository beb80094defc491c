//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const metricsNamespace = "e2e-metrics"

// metrics: a Prometheus scrapes operator and bots, with the rights that the chart has for it and no others.
func (c *cluster) metrics(t *testing.T) string {
	b := c.chatty(t, c.namespace(t, metricsNamespace))
	b.start(t)
	b.reachable(t)
	chat := b.chat(t, 4)
	chat.answered(t, 8)
	o := chat.finish(t)
	operators := c.targetsOf(t, system, client.MatchingLabels{"app.kubernetes.io/name": release}, 8443)
	servers := c.targetsOf(t, "", client.MatchingLabels{"app.kubernetes.io/managed-by": "wechatbot-operator", "app.kubernetes.io/component": "server"}, 9090)
	manifests, err := os.ReadFile("prometheus.yaml")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // it belongs to no namespace
		if _, err := c.run(context.Background(), "", "kubectl", "delete", "clusterrolebinding", "e2e-prometheus"); err != nil {
			t.Error(err)
		}
	})
	c.apply(t, metricsNamespace, strings.NewReplacer(
		"NAMESPACE", metricsNamespace, "RELEASE", release, "IMAGE", c.prometheusImage,
		"OPERATORS", list(operators), "SERVERS", list(servers)).Replace(string(manifests)))
	c.kubectl(t, "--namespace", metricsNamespace, "rollout", "status", "deployment/prometheus", "--timeout=60s")
	await(t, readyWithin, "Prometheus has scraped operator and bots", func() (bool, string, error) {
		up, state, err := c.targets(t.Context())
		return up["operator"] == len(operators) && up["bots"] == len(servers), fmt.Sprintf("up: %v; %s", up, state), err
	})
	counted := -1.0
	await(t, readyWithin, "Prometheus has the count of pushes", func() (bool, string, error) {
		var err error
		counted, err = c.query(t.Context(), fmt.Sprintf(`sum(wechatbot_pushes_total{instance=%q})`, b.pods(t, "server")[0].Status.PodIP+":9090"))
		return int(counted) == o.stats.Deliveries, fmt.Sprintf("%v of %d", counted, o.stats.Deliveries), err
	})
	return fmt.Sprintf("Prometheus: %d operator and %d servers up; it counted the %.0f deliveries that WeChat made", len(operators), len(servers), counted)
}

// targetsOf are the addresses of the ready pods that labels select, at a port.
func (c *cluster) targetsOf(t *testing.T, namespace string, labels client.MatchingLabels, port int) (targets []string) {
	t.Helper()
	var pods core.PodList
	if err := c.client.List(t.Context(), &pods, client.InNamespace(namespace), labels); err != nil {
		t.Fatal(err)
	}
	for i := range pods.Items {
		if p := &pods.Items[i]; p.DeletionTimestamp == nil && podReady(p) {
			targets = append(targets, fmt.Sprintf("%s:%d", p.Status.PodIP, port))
		}
	}
	if len(targets) == 0 {
		t.Fatalf("no ready pods with %v", labels)
	}
	return targets
}

func list(words []string) string { return `["` + strings.Join(words, `", "`) + `"]` }

// prometheusGet asks Prometheus through the API server.
func (c *cluster) prometheusGet(ctx context.Context, path string, into any) error {
	out, err := c.run(ctx, "", "kubectl", "get", "--raw", "/api/v1/namespaces/"+metricsNamespace+"/services/prometheus:9090/proxy/api/v1/"+path)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(out), into)
}

// targets counts those that are up, and describes one that is not.
func (c *cluster) targets(ctx context.Context) (up map[string]int, down string, err error) {
	var answer struct {
		Data struct {
			ActiveTargets []struct {
				Labels                       map[string]string
				Health, LastError, ScrapeURL string
			}
		}
	}
	if err := c.prometheusGet(ctx, "targets?state=active", &answer); err != nil {
		return nil, "", err
	}
	up = map[string]int{}
	for _, target := range answer.Data.ActiveTargets {
		if target.Health == "up" {
			up[target.Labels["job"]]++
		} else {
			down = fmt.Sprintf("%s is %s: %s", target.ScrapeURL, target.Health, target.LastError)
		}
	}
	return up, down, nil
}

// query gives the one value of an expression.
func (c *cluster) query(ctx context.Context, expression string) (float64, error) {
	var answer struct {
		Data struct{ Result []struct{ Value [2]any } }
	}
	if err := c.prometheusGet(ctx, "query?query="+url.QueryEscape(expression), &answer); err != nil {
		return 0, err
	}
	if len(answer.Data.Result) != 1 {
		return 0, fmt.Errorf("%d values of %s", len(answer.Data.Result), expression)
	}
	text, _ := answer.Data.Result[0].Value[1].(string)
	return strconv.ParseFloat(text, 64)
}
