package serverconfig

import (
	"fmt"
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

func TestTracingHeaders(t *testing.T) {
	const line = "tracing-headers: line 1 must be a header with its value, such as Authorization: Bearer …"
	for name, tt := range map[string]struct {
		content Secret
		want    string // names and values, or what is wrong
	}{
		"none":                                 {"", ""},
		"one":                                  {"Authorization: Bearer eyJ.a-b==", "Authorization=Bearer eyJ.a-b== "},
		"a blank before the colon":             {"\r\nauthorization:Basic eDp5\r\n\r\n X-Scope-OrgID :bots", "tracing-headers: line 4 must be a header with its value, such as Authorization: Bearer …"},
		"names in any case":                    {"authorization:Basic eDp5\r\n\nx-honeycomb-team:  a:b ", "Authorization=Basic eDp5 X-Honeycomb-Team=a:b "},
		"a token alone":                        {"Bearer hunter2", line},
		"a name alone":                         {"Authorization:", line},
		"as OTEL_EXPORTER_OTLP_HEADERS has it": {"authorization=Bearer hunter2", line},
		"no ASCII":                             {"Authorization: 密码hunter2", line},
		"a control":                            {"Authorization: hunter2\x00", line},
		"blank lines":                          {" \n\n", "tracing-headers: holds no header, such as Authorization: Bearer …"},
		"twice":                                {"api-key: hunter2\nApi-Key: hunter2", "tracing-headers: line 2 repeats a header"},
		"the server's own":                     {"content-type: hunter2/x", "tracing-headers: line 1 is a header that the server sets itself: leave it out"},
		"too many":                             {Secret(manyHeaders(17)), "tracing-headers: has more than 16 headers"},
	} {
		t.Run(name, func(t *testing.T) {
			all, err := TracingHeaders(tt.content)
			var got strings.Builder
			got.WriteString(message(err))
			for _, h := range all {
				got.WriteString(h.Name + "=" + h.Value.Reveal() + " ")
			}
			if got.String() != tt.want {
				t.Errorf("got %q, want %q", got.String(), tt.want)
			}
			s := Secrets{Token: token, DifyAPIKey: apiKey, TracingHeaders: tt.content}
			if checked := Validate(parse(t, minimal), s); message(checked) != message(err) {
				t.Errorf("checked with the other secrets: %v, want %v", checked, err)
			}
		})
	}
}

func manyHeaders(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "X-%d: v\n", i)
	}
	return b.String()
}
