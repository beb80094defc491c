package serverconfig

import (
	"net/url"
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
