// Package dashboard holds the dashboard of config/grafana to Grafana's own schema. It is a module of its own, as nothing else
// needs that schema.
package dashboard

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

const file = "../../config/grafana/wechatbots.json"

// check reads a dashboard as strictly as Grafana's schema is: of the dashboard, of each kind of panel and of Prometheus' queries.
func check(content []byte) error {
	plugins.RegisterDefaultPlugins()
	var d dashboard.Dashboard //nolint:staticcheck // the file is of this schema, which every Grafana imports
	err := d.UnmarshalJSONStrict(content)
	if all, ok := errors.AsType[cog.BuildErrors](err); err != nil && (!ok || len(all) > 0) { // v0.0.22 gives an empty list if nothing is wrong
		return err
	}
	return d.Validate()
}

func TestDashboard_IsOfGrafanasSchema(t *testing.T) {
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := check(content); err != nil {
		t.Error(err)
	}
}

// A check that takes everything is worth nothing.
func TestCheck_FindsFaults(t *testing.T) {
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"a field of the dashboard that is not there": {`"schemaVersion"`, `"schemaVersions"`},
		"a panel's option that is not there":         {`"legend":`, `"legends":`},
		"a query's field that is not there":          {`"expr":`, `"expression":`},
		"a number as text":                           {`"schemaVersion": 39`, `"schemaVersion": "39"`},
	} {
		broken := strings.Replace(string(content), change[0], change[1], 1)
		if broken == string(content) {
			t.Errorf("%s: the dashboard has no %s", name, change[0])
		}
		if check([]byte(broken)) == nil {
			t.Errorf("%s is not found", name)
		}
	}
}
