package docs

import (
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	described = regexp.MustCompile(`fqName: "([^"]+)".*variableLabels: \{([^}]*)\}`)
	listed    = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|([^|]*)\\|")
	comments  = regexp.MustCompile(`(?s)<!-- metrics: (\w+) -->(.*?)<!-- /metrics -->`)
)

// Described gives the metrics of some collectors and their labels, separated by commas. Those of Go's runtime and of the
// process are left out: they are the same everywhere.
func Described(collectors ...prometheus.Collector) map[string]string {
	all := map[string]string{}
	for _, c := range collectors {
		descs := make(chan *prometheus.Desc)
		go func() {
			defer close(descs)
			c.Describe(descs)
		}()
		for d := range descs {
			m := described.FindStringSubmatch(d.String())
			if !strings.HasPrefix(m[1], "go_") && !strings.HasPrefix(m[1], "process_") {
				all[m[1]] = m[2]
			}
		}
	}
	return all
}

// Metrics gives the metrics that a page lists, and their labels: the first two columns of the table between the comments
// <!-- metrics: name --> and <!-- /metrics -->.
func Metrics(path, name string) (map[string]string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the list of metrics: %w", err)
	}
	all := map[string]string{}
	for _, section := range comments.FindAllStringSubmatch(string(content), -1) {
		if section[1] != name {
			continue
		}
		for _, row := range listed.FindAllStringSubmatch(section[2], -1) {
			all[row[1]] = strings.NewReplacer("`", "", " ", "").Replace(row[2])
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s has no table of metrics named %s", path, name)
	}
	return all, nil
}
