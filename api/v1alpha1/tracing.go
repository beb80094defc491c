package v1alpha1

// Tracing sends a trace of each turn to an OpenTelemetry collector.
type Tracing struct {
	// endpoint is the collector's address for OTLP over HTTP, for example
	// http://otel-collector.observability:4318; /v1/traces is added to it. At most
	// 512 characters. Required.
	// +required
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule=`isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname() != '' && !self.contains('@') && !self.contains('?') && !self.contains('#')`,message="endpoint must be an http:// or https:// URL like http://otel-collector.observability:4318, without user, query or fragment"
	// +kubebuilder:validation:XValidation:rule=`!isURL(self) || url(self).getPort() != '4317'`,message="port 4317 is OTLP over gRPC: give the port of OTLP over HTTP, usually 4318"
	Endpoint string `json:"endpoint"`

	// headersSecretRef names the Secret key that holds headers for the collector or
	// backend, one a line, for example "Authorization: Bearer …"; 1 to 16. A change
	// of the Secret reaches the servers without a restart. Default: none.
	// +optional
	HeadersSecretRef *SecretKeyRef `json:"headersSecretRef,omitempty"`

	// samplingPercent is of how many turns in a hundred a trace is made, 1 to 100;
	// all replicas choose the same ones. Default 100.
	// +optional
	// +kubebuilder:default=100
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	SamplingPercent int32 `json:"samplingPercent,omitempty"`
}
