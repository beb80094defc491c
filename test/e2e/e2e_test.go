//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// table is what the run has shown, a line a scenario.
type table struct {
	cluster *cluster
	began   time.Time
	lines   []string
}

// scenario is a part of the installation's life.
type scenario struct {
	name string
	run  func(t *testing.T) string // what it has measured
}

// play runs scenarios at the same time and adds their lines. None runs after one that failed: they build on it.
func (s *table) play(t *testing.T, together ...scenario) {
	t.Helper()
	if t.Failed() {
		return
	}
	lines := make([]string, len(together))
	var all sync.WaitGroup
	for i, one := range together {
		all.Go(func() { lines[i] = one.line(t) })
	}
	all.Wait()
	if t.Failed() {
		s.cluster.explain(t)
	}
	for _, line := range lines {
		if line != "" { // else `go test -run` has chosen others
			t.Log(line)
			s.lines = append(s.lines, line)
		}
	}
}

// line runs a scenario and gives its line.
func (s scenario) line(t *testing.T) string {
	t.Helper()
	began := time.Now()
	chosen, shown, verdict := false, "", "ok"
	if !t.Run(strings.ReplaceAll(s.name, " ", "-"), func(t *testing.T) { chosen = true; shown = s.run(t) }) {
		verdict = "FAILED"
	}
	if !chosen {
		return ""
	}
	return fmt.Sprintf("| %s | %s | %s | %s |", s.name, verdict, seconds(time.Since(began)), shown)
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
	s.play(t, scenario{"the chart is installed", c.chartInstalled})
	rotation := &rotation{cluster: c, space: c.namespace(t, "e2e-rotation")}
	s.play(t,
		scenario{"the minimal sample is ready", c.minimalSample},
		scenario{"a bot by kubectl wechatbot create", c.created},
		scenario{"a rotated token is taken in place", rotation.begin},
		scenario{"followers chat through the Ingress", c.ingress},
		scenario{"HTTPRoute and back", c.gatewayAndBack})
	s.play(t, scenario{"apply to first answer", c.firstAnswer})
	s.play(t,
		scenario{"three replicas on managed Redis", c.managedRedis},
		scenario{"a rotated AppSecret is taken in place", c.rotatedAppSecret},
		scenario{"one pod rolls", c.onePodRolls},
		scenario{"an autoscaled bot by its chart", c.botChart},
		scenario{"scraped by Prometheus", c.metrics})
	s.play(t,
		scenario{"a domain that serves", c.liveDomain},
		scenario{"restored without owners", c.restored},
		scenario{"className there and back", c.classThereAndBack})
	s.play(t,
		scenario{"an autoscaler of the Deployment", c.autoscalerOfDeployment},
		scenario{"a policy that relabels", c.relabelling},
		scenario{"a menu, pages and the plugin", c.menuAndPages},
		scenario{"six faults", c.faulty},
		scenario{"the previous release's server", c.pinned},
		scenario{"a minute without Redis", c.redisAway})
	s.play(t, scenario{"a user's certificate", c.usersCertificate})
	s.play(t, scenario{"without the operator", c.withoutOperator})
	s.play(t, scenario{"uninstalled", c.uninstalled})
	s.play(t, scenario{"upgraded", c.upgraded})
	s.play(t,
		scenario{"one team's own operator", c.namespaced},
		scenario{"the old token is refused", rotation.end})
	if os.Getenv("E2E_DISPOSABLE") == "1" {
		s.play(t, scenario{"the documentation's commands", c.pages})
	}
}
