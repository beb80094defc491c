package serverconfig

import (
	"net/textproto"
	"net/url"
	"slices"
	"strings"
)

// Tracing sends traces of turns to an OpenTelemetry collector.
type Tracing struct {
	// Endpoint is the collector's address for OTLP over HTTP, to which /v1/traces is added; empty: nothing is traced.
	Endpoint string `json:"endpoint"`
	// SamplingPercent is of how many turns in a hundred: 1 to 100.
	SamplingPercent int `json:"samplingPercent"`
}

// MaxEndpointBytes bounds tracing.endpoint.
const MaxEndpointBytes = 512

const exampleEndpoint = "http://otel-collector.observability:4318"

func (t *Tracing) check() error {
	if err := checkCount("tracing.samplingPercent", t.SamplingPercent, 1, 100); err != nil {
		return err
	}
	if t.Endpoint == "" {
		return nil
	}
	if len(t.Endpoint) > MaxEndpointBytes {
		return wrong("tracing.endpoint", "has %d bytes, at most %d are allowed", len(t.Endpoint), MaxEndpointBytes)
	}
	if strings.HasPrefix(t.Endpoint, "grpc://") {
		return wrong("tracing.endpoint", "is gRPC's: give the address of OTLP over HTTP, usually port 4318, such as %s", exampleEndpoint)
	}
	if err := checkURL("tracing.endpoint", t.Endpoint, exampleEndpoint); err != nil {
		return err
	}
	if u, err := url.Parse(t.Endpoint); err == nil && u.Port() == "4317" {
		return wrong("tracing.endpoint", "has port 4317, which is OTLP over gRPC: give the port of OTLP over HTTP, usually 4318")
	}
	return nil
}

// Header is a header of the requests to the collector.
type Header struct {
	Name  string // as HTTP writes it: Authorization
	Value Secret
}

// maxHeaders bounds the file tracing-headers.
const maxHeaders = 16

// ownHeaders are what a request says of itself.
var ownHeaders = []string{"Connection", "Content-Encoding", "Content-Length", "Content-Type", "Host", "Transfer-Encoding", "User-Agent"}

// TracingHeaders are the headers in the content of the file tracing-headers: one a line, as Authorization: Bearer …. An error
// quotes nothing of it.
func TracingHeaders(content Secret) ([]Header, error) {
	var all []Header
	n := 0
	for line := range strings.Lines(content.Reveal()) {
		n++
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		h := Header{textproto.CanonicalMIMEHeaderKey(name), Secret(strings.TrimSpace(value))}
		switch {
		case !isToken(name) || h.Value == "" || !printable(h.Value):
			return nil, wrong(fileTracingHeaders, "line %d must be a header with its value, such as Authorization: Bearer …", n)
		case slices.Contains(ownHeaders, h.Name):
			return nil, wrong(fileTracingHeaders, "line %d is a header that the server sets itself: leave it out", n)
		case slices.ContainsFunc(all, func(other Header) bool { return other.Name == h.Name }):
			return nil, wrong(fileTracingHeaders, "line %d repeats a header", n)
		case len(all) == maxHeaders:
			return nil, wrong(fileTracingHeaders, "has more than %d headers", maxHeaders)
		}
		all = append(all, h)
	}
	if content != "" && len(all) == 0 {
		return nil, wrong(fileTracingHeaders, "holds no header, such as Authorization: Bearer …")
	}
	return all, nil
}

// isToken tells whether a text is the name of a header (RFC 9110, 5.6.2).
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

// printable tells whether a secret is ASCII of one line.
func printable(s Secret) bool {
	return !strings.ContainsFunc(s.Reveal(), func(r rune) bool { return r < ' ' || r > '~' })
}
