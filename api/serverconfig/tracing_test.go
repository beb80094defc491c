package serverconfig

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTracing(t *testing.T) {
	c := parse(t, minimal+"tracing: {endpoint: \"https://traces.example.com/otlp\", samplingPercent: 5}\n")
	if want := (Tracing{"https://traces.example.com/otlp", 5}); c.Tracing != want {
		t.Errorf("%+v, want %+v", c.Tracing, want)
	}
	if back := parse(t, string(Marshal(c))); cmp.Diff(c, back) != "" {
		t.Errorf("(-written +read):\n%s", cmp.Diff(c, back))
	}
	before := c
	before.Tracing = Default().Tracing
	if d := cmp.Diff([]string{"tracing.endpoint", "tracing.samplingPercent"}, c.Diff(&before)); d != "" || len(c.RestartNeeded(&before)) != 0 {
		t.Errorf("changed (-want +got):\n%s", d)
	}
	if strings.Contains(string(Marshal(before)), "tracing") {
		t.Error("a server of before is told of traces that nobody wants")
	}
}

func TestTracingRefuses(t *testing.T) {
	const must = "tracing.endpoint: must "
	for name, c := range map[string]struct{ tracing, want string }{
		"no scheme":      {`{endpoint: "collector:4318"}`, must + "be an http or https address, such as http://otel-collector.observability:4318"},
		"another scheme": {`{endpoint: "ftp://collector"}`, must + "be an http or https address, such as http://otel-collector.observability:4318"},
		"gRPC":           {`{endpoint: "grpc://collector:4317"}`, "tracing.endpoint: is gRPC's: give the address of OTLP over HTTP, usually port 4318, such as http://otel-collector.observability:4318"},
		"gRPC's port":    {`{endpoint: "http://collector:4317"}`, "tracing.endpoint: has port 4317, which is OTLP over gRPC: give the port of OTLP over HTTP, usually 4318"},
		"a key in it":    {`{endpoint: "https://key@collector"}`, must + "hold no user, query or fragment: write it as in http://otel-collector.observability:4318"},
		"too long":       {`{endpoint: "http://collector/` + strings.Repeat("a", 512) + `"}`, "tracing.endpoint: has 529 bytes, at most 512 are allowed"},
		"none of all":    {`{samplingPercent: 0}`, "tracing.samplingPercent: 0 is out of range: give 1 to 100"},
		"more than all":  {`{samplingPercent: 101}`, "tracing.samplingPercent: 101 is out of range: give 1 to 100"},
	} {
		_, err := Parse([]byte(minimal + "tracing: " + c.tracing + "\n"))
		if got := message(err); got != c.want {
			t.Errorf("%s: message\n  got  %s\n  want %s", name, got, c.want)
		}
	}
}
