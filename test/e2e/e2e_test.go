//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// table is what the run has shown, a line a scenario.
type table struct {
	cluster *cluster
	began   time.Time
	lines   []string
}

// scenario runs one and adds its line. The others do not run after one that failed: they build on it.
func (s *table) scenario(t *testing.T, name string, run func(t *testing.T) string) {
	t.Helper()
	if t.Failed() {
		return
	}
	began := time.Now()
	chosen, shown := false, "" // `go test -run` may choose others
	ok := t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) { chosen = true; shown = run(t) })
	if !chosen {
		return
	}
	verdict := "ok"
	if !ok {
		verdict = "FAILED"
		s.cluster.explain(t)
	}
	line := fmt.Sprintf("| %s | %s | %s | %s |", name, verdict, seconds(time.Since(began)), shown)
	t.Log(line)
	s.lines = append(s.lines, line)
}

func (s *table) String() string {
	return fmt.Sprintf("\n| scenario | | took | measured |\n|---|---|---|---|\n%s\n| all | | %s | |\n", strings.Join(s.lines, "\n"), seconds(time.Since(s.began)))
}

// explain shows what a person would look at first.
func (c *cluster) explain(t *testing.T) {
	t.Helper()
	for _, args := range [][]string{
		{"get", "pods,wechatbots", "--all-namespaces", "-o", "wide"},
		{"get", "events", "--all-namespaces", "--sort-by=.lastTimestamp", "--field-selector=type=Warning"},
		{"--namespace", system, "logs", deployment, "--tail=30"},
		{"--namespace", system, "logs", deployment, "--tail=10", "--previous"},
	} {
		out, err := c.run(t.Context(), "", "kubectl", args...)
		if err != nil {
			t.Log(err)
			continue
		}
		lines := strings.Split(strings.TrimSpace(out), "\n")
		t.Logf("kubectl %s\n%s", strings.Join(args, " "), strings.Join(lines[max(0, len(lines)-40):], "\n"))
	}
}

// TestEndToEnd is the life of an installation, from the chart to its end.
func TestEndToEnd(t *testing.T) {
	c := open(t)
	s := &table{cluster: c, began: time.Now()}
	defer func() { t.Log(s) }()
	c.startDify(t)
	s.scenario(t, "the chart is installed", c.chartInstalled)
	rotation := &rotation{cluster: c, space: c.namespace(t, "e2e-rotation")}
	s.scenario(t, "the minimal sample is ready", c.minimalSample)
	s.scenario(t, "a rotated token is taken in place", rotation.begin)
	s.scenario(t, "followers chat through the Ingress", c.ingress)
	s.scenario(t, "HTTPRoute and back", c.gatewayAndBack)
	s.scenario(t, "apply to first answer", c.firstAnswer)
	s.scenario(t, "three replicas on managed Redis", c.managedRedis)
	s.scenario(t, "an autoscaled bot by its chart", c.botChart)
	s.scenario(t, "one pod rolls", c.onePodRolls)
	s.scenario(t, "scraped by Prometheus", c.metrics)
	s.scenario(t, "without the operator", c.withoutOperator)
	s.scenario(t, "uninstalled", c.uninstalled)
	s.scenario(t, "upgraded", c.upgraded)
	s.scenario(t, "one team's own operator", c.namespaced)
	s.scenario(t, "the old token is refused", rotation.end)
	if os.Getenv("E2E_DISPOSABLE") == "1" {
		s.scenario(t, "the documentation's commands", c.pages)
	}
}
