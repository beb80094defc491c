package server

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wechatbot/wechatbot-operator/test/docs"
)

// docs/monitoring.md lists what a server exports. One metric is the ConfigMap store's alone.
func TestTheMetricsAreDocumented(t *testing.T) {
	bubble(t, func(t *testing.T) {
		exported := docs.Described(newPlace(t, minimal).run(t).registry)
		exported["wechatbot_sessions_dropped_total"] = ""
		listed, err := docs.Metrics("../docs/monitoring.md", "server")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(exported, listed); diff != "" {
			t.Errorf("docs/monitoring.md lists others (-exported +listed):\n%s", diff)
		}
	})
}
