package docs_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/yaml"

	_ "github.com/wechatbot/wechatbot-operator/controllers" // registers controller-runtime's metrics
	"github.com/wechatbot/wechatbot-operator/test/docs"
)

// exported gives every metric that a server or the operator exports. Those of our own are what docs/monitoring.md lists,
// which the tests of ./server and ./controllers hold to the code.
func exported(t *testing.T) []string {
	t.Helper()
	all := []string{"process_resident_memory_bytes"}
	for _, of := range []string{"server", "operator"} {
		listed, err := docs.Metrics(filepath.Join(repository, "docs", "monitoring.md"), of)
		if err != nil {
			t.Fatal(err)
		}
		all = slices.AppendSeq(all, maps.Keys(listed))
	}
	registry, ok := metrics.Registry.(prometheus.Collector)
	if !ok {
		t.Fatalf("controller-runtime's registry is a %T", metrics.Registry)
	}
	return slices.AppendSeq(all, maps.Keys(docs.Described(registry)))
}

var metricName = regexp.MustCompile(`\b(?:wechatbot|controller_runtime|leader_election|workqueue|process|rest_client)_[a-z_]+\b`)

// expect fails for each metric of a text that nobody exports.
func expect(t *testing.T, known []string, where, text string) {
	t.Helper()
	for _, name := range metricName.FindAllString(text, -1) {
		series := name
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			series = strings.TrimSuffix(series, suffix)
		}
		if !slices.Contains(known, name) && !slices.Contains(known, series) {
			t.Errorf("%s: nobody exports %s", where, name)
		}
	}
}

type alert struct {
	Name        string `json:"alert"`
	Expression  string `json:"expr"`
	Annotations map[string]string
}

func alerts(t *testing.T) []alert {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(repository, "config", "prometheus", "rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Spec struct{ Groups []struct{ Rules []alert } }
	}
	if err := yaml.Unmarshal(content, &rules); err != nil {
		t.Fatal(err)
	}
	var all []alert
	for _, group := range rules.Spec.Groups {
		all = append(all, group.Rules...)
	}
	if len(all) < 10 {
		t.Fatalf("only %d alerts found", len(all))
	}
	return all
}

// Every alert stands on metrics that exist, says what to do, and is in the documentation; and no other is.
func TestAlerts(t *testing.T) {
	known := exported(t)
	var documented docs.Page
	var listed []string
	for _, p := range docs.Read(t, repository) {
		switch p.Path {
		case "docs/troubleshooting.md":
			documented = p
		case "docs/monitoring.md":
			for _, s := range p.Spans {
				if strings.HasPrefix(s.Text, "WechatBot") {
					listed = append(listed, s.Text)
				}
			}
		}
	}
	var names []string
	tested, err := os.ReadFile(filepath.Join(repository, "config", "prometheus", "tests.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range alerts(t) {
		names = append(names, a.Name)
		if !strings.Contains(string(tested), "alertname: "+a.Name+"\n") && !strings.Contains(string(tested), `alertname="`+a.Name+`", alertstate="firing"`) {
			t.Errorf("%s: config/prometheus/tests.yaml does not have it fire", a.Name)
		}
		expect(t, known, a.Name, a.Expression)
		page, anchor, _ := strings.Cut(a.Annotations["runbook_url"], "#")
		if !strings.HasSuffix(page, "/docs/troubleshooting.md") || !slices.Contains(documented.Anchors, anchor) {
			t.Errorf("%s: the runbook %s is not there", a.Name, a.Annotations["runbook_url"])
		}
		if a.Annotations["summary"] == "" || a.Annotations["description"] == "" {
			t.Errorf("%s has no words", a.Name)
		}
	}
	if !slices.Equal(names, listed) {
		t.Errorf("docs/monitoring.md lists %v, the rules are %v", listed, names)
	}
}

func TestTheDashboardShowsWhatIsExported(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(repository, "config", "grafana", "wechatbots.json"))
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			ID                int
			Title             string
			Type, Description string
			Targets           []struct{ Expr string }
		}
		Templating struct{ List []struct{ Definition string } }
	}
	if err := json.Unmarshal(content, &dashboard); err != nil {
		t.Fatal(err)
	}
	known := exported(t)
	var shown strings.Builder
	ids := map[int]bool{}
	for _, p := range dashboard.Panels {
		if ids[p.ID] {
			t.Errorf("two panels have the id %d", p.ID)
		}
		ids[p.ID] = true
		if p.Type != "row" && (len(p.Targets) == 0 || p.Description == "") {
			t.Errorf("the panel %q shows nothing, or does not say what", p.Title)
		}
		for _, target := range p.Targets {
			expect(t, known, fmt.Sprintf("panel %q", p.Title), target.Expr)
			shown.WriteString(target.Expr + "\n")
		}
	}
	for _, v := range dashboard.Templating.List {
		expect(t, known, "variables", v.Definition)
	}
	// What a platform team cannot see, it does not know of.
	for _, of := range []string{"server", "operator"} {
		listed, err := docs.Metrics(filepath.Join(repository, "docs", "monitoring.md"), of)
		if err != nil {
			t.Fatal(err)
		}
		for name := range listed {
			if !strings.Contains(shown.String(), name) {
				t.Errorf("no panel shows %s", name)
			}
		}
	}
}

func TestThePagesNameMetricsThatExist(t *testing.T) {
	known := exported(t)
	for _, p := range docs.Read(t, repository) {
		for _, s := range p.Spans {
			if !strings.HasSuffix(s.Text, "…") && s.Text != "wechatbot_" {
				expect(t, known, fmt.Sprintf("%s:%d", p.Path, s.Line), s.Text)
			}
		}
	}
}
