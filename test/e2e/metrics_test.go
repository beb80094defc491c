//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

const metricsNamespace = "e2e-metrics"

// metrics: a Prometheus scrapes operator and bots, with the rights that the chart has for it and no others, evaluates the
// alerts and answers what the dashboard asks.
func (c *cluster) metrics(t *testing.T) string {
	b := c.chatty(t, c.namespace(t, metricsNamespace))
	b.set(t, map[string]any{"follower": int64(1_000_000), "bot": int64(100_000_000)}, "limits", "tokens")
	b.start(t)
	b.reachable(t)
	chat := b.chat(t, 4)
	chat.answered(t, 8)
	o := chat.finish(t)
	operators := c.targetsOf(t, system, client.MatchingLabels{"app.kubernetes.io/name": release}, 8443)
	servers := c.targetsOf(t, metricsNamespace, client.MatchingLabels{"app.kubernetes.io/managed-by": "wechatbot-operator", "app.kubernetes.io/component": "server"}, 9090)
	rules := c.alerts(t)
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
		"OPERATORS", encoded(t, operators), "SERVERS", encoded(t, servers), "RULES", encoded(t, rules)).Replace(string(manifests)))
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
	alerts := c.evaluated(t)
	asked, answered := c.dashboard(t)
	return fmt.Sprintf("Prometheus: %d operator and %d servers up; it counted the %.0f deliveries that WeChat made; %d alerts evaluated, none fires; %d queries of the dashboard, %d with values",
		len(operators), len(servers), counted, alerts, asked, answered)
}

// targets are addresses of Prometheus' static configuration, with the labels that a PodMonitor gives them.
type targets struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// targetsOf are the ready pods that labels select, at a port.
func (c *cluster) targetsOf(t *testing.T, namespace string, labels client.MatchingLabels, port int) (found []targets) {
	t.Helper()
	var pods core.PodList
	if err := c.client.List(t.Context(), &pods, client.InNamespace(namespace), labels); err != nil {
		t.Fatal(err)
	}
	for i := range pods.Items {
		if p := &pods.Items[i]; p.DeletionTimestamp == nil && podReady(p) {
			found = append(found, targets{[]string{fmt.Sprintf("%s:%d", p.Status.PodIP, port)}, map[string]string{
				"namespace": p.Namespace, "pod": p.Name, "app_kubernetes_io_instance": p.Labels["app.kubernetes.io/instance"],
			}})
		}
	}
	if len(found) == 0 {
		t.Fatalf("no ready pods with %v", labels)
	}
	return found
}

// encoded is a value in JSON, which YAML takes too.
func encoded(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// alerts is the file of rules that the Prometheus Operator makes of ours.
func (c *cluster) alerts(t *testing.T) string {
	t.Helper()
	manifest, err := os.ReadFile(filepath.Join(c.root, "config", "prometheus", "rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var object struct{ Spec json.RawMessage }
	if err := yaml.Unmarshal(manifest, &object); err != nil {
		t.Fatal(err)
	}
	return string(object.Spec)
}

// evaluated waits until Prometheus has evaluated every alert, and fails if one fires: nothing is wrong.
func (c *cluster) evaluated(t *testing.T) (alerts int) {
	t.Helper()
	await(t, readyWithin, "Prometheus has evaluated the alerts", func() (bool, string, error) {
		var answer struct {
			Data struct {
				Groups []struct {
					Rules []struct{ Name, Health, LastError, State string }
				}
			}
		}
		if err := c.prometheusGet(t.Context(), "rules?type=alert", &answer); err != nil {
			return false, "", err
		}
		alerts = 0
		for _, group := range answer.Data.Groups {
			for _, rule := range group.Rules {
				if rule.Health != "ok" {
					return false, fmt.Sprintf("%s is %s: %s", rule.Name, rule.Health, rule.LastError), nil
				}
				if rule.State == "firing" {
					t.Errorf("%s fires", rule.Name)
				}
				alerts++
			}
		}
		return alerts > 0, "no alerts", nil
	})
	return alerts
}

// quiet are the metrics of what has not happened: a panel about them is empty.
var quiet = []string{
	"wechatbot_refused_pushes_total", "wechatbot_url_verifications_total", "wechatbot_dify_errors_total",
	"wechatbot_trace_spans_total", "wechatbot_config_reloads_total", "wechatbot_sessions_dropped_total", "wechatbot_dify_price_total", `type!~"Reconciling|Stalled|Suspended"`,
	// Of the account's own API, which these bots have no AppSecret for.
	"wechatbot_wechat_calls_total", "wechatbot_sends_total", "wechatbot_wechat_call_seconds", "wechatbot_menu_state",
	"wechatbot_account_capability", "wechatbot_account_duty",
}

// dashboard asks Prometheus all that the dashboard's panels ask.
func (c *cluster) dashboard(t *testing.T) (asked, answered int) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(c.root, "config", "grafana", "wechatbots.json"))
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(content, &dashboard); err != nil {
		t.Fatal(err)
	}
	chosen := strings.NewReplacer("$namespace", ".*", "$bot", ".*", "$__rate_interval", "1m") // as Grafana does; a rate is one of two scrapes
	await(t, readyWithin, "the dashboard is full", func() (bool, string, error) {
		asked, answered = 0, 0
		for _, panel := range dashboard.Panels {
			for _, target := range panel.Targets {
				asked++
				values, err := c.values(t.Context(), chosen.Replace(target.Expr))
				isQuiet := slices.ContainsFunc(quiet, func(m string) bool { return strings.Contains(target.Expr, m) })
				switch {
				case err != nil || len(values) == 0 && !isQuiet:
					return false, fmt.Sprintf("the panel %q is empty: %s", panel.Title, target.Expr), err
				case len(values) > 0:
					answered++
				}
			}
		}
		return true, "", nil
	})
	return asked, answered
}

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

// values gives all values of an expression.
func (c *cluster) values(ctx context.Context, expression string) ([]float64, error) {
	var answer struct {
		Data struct{ Result []struct{ Value [2]any } }
	}
	if err := c.prometheusGet(ctx, "query?query="+url.QueryEscape(expression), &answer); err != nil {
		return nil, err
	}
	var values []float64
	for _, result := range answer.Data.Result {
		text, _ := result.Value[1].(string)
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("a value of %s: %w", expression, err)
		}
		values = append(values, value)
	}
	return values, nil
}

// query gives the one value of an expression.
func (c *cluster) query(ctx context.Context, expression string) (float64, error) {
	values, err := c.values(ctx, expression)
	if err == nil && len(values) != 1 {
		err = fmt.Errorf("%d values of %s", len(values), expression)
	}
	if err != nil {
		return 0, err
	}
	return values[0], nil
}
