//go:build charts

package charts_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wechatbot/wechatbot-operator/controllers/apply"
	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/server/webhook"
)

// What the dashboard shows is what servers and operator really measure.
func TestTheDashboardKnowsTheMetrics(t *testing.T) {
	content, err := os.ReadFile(operatorChart + "/files/dashboard.json")
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
	known := map[string]bool{}
	described := regexp.MustCompile(`fqName: "([a-z_]+)"`)
	for _, c := range []prometheus.Collector{apply.NewWrites(), registered(func(r prometheus.Registerer) {
		turn.NewMetrics(r)
		webhook.NewMetrics(r)
	})} {
		descriptions := make(chan *prometheus.Desc)
		go func() {
			c.Describe(descriptions)
			close(descriptions)
		}()
		for d := range descriptions {
			known[described.FindStringSubmatch(d.String())[1]] = true
		}
	}
	if !known["wechatbot_turns_total"] || !known["wechatbot_apply_total"] {
		t.Fatalf("the known metrics are %v", known)
	}
	used := regexp.MustCompile(`wechatbot_[a-z_]+`)
	for _, panel := range dashboard.Panels {
		if len(panel.Targets) == 0 {
			t.Errorf("%s shows nothing", panel.Title)
		}
		for _, target := range panel.Targets {
			for _, name := range used.FindAllString(target.Expr, -1) {
				if name = strings.TrimSuffix(name, "_bucket"); !known[name] {
					t.Errorf("%s shows %s, which nobody measures", panel.Title, name)
				}
			}
		}
	}
}

// collectors is what is registered.
type collectors []prometheus.Collector

func registered(register func(prometheus.Registerer)) *collectors {
	c := new(collectors)
	register(c)
	return c
}

func (c *collectors) Register(one prometheus.Collector) error {
	*c = append(*c, one)
	return nil
}

func (c *collectors) MustRegister(all ...prometheus.Collector) { *c = append(*c, all...) }

func (*collectors) Unregister(prometheus.Collector) bool { return false }

func (c *collectors) Describe(out chan<- *prometheus.Desc) {
	for _, one := range *c {
		one.Describe(out)
	}
}

func (*collectors) Collect(chan<- prometheus.Metric) {}
