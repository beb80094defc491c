package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Dify describes the Dify app that answers the followers' questions.
type Dify struct {
	// apiKeySecretRef names the Secret key that holds the app's API key (app-...).
	// Required.
	// +required
	APIKeySecretRef SecretKeyRef `json:"apiKeySecretRef"`

	// baseURL is where Dify's service API is, for example
	// http://dify-api.dify.svc:5001/v1; with or without /v1 and a trailing slash,
	// at most 512 characters. Default https://api.dify.ai/v1 (Dify Cloud).
	// +optional
	// +kubebuilder:default="https://api.dify.ai/v1"
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule=`isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname() != '' && !self.contains('@') && !self.contains('?') && !self.contains('#')`,message="baseURL must be an http:// or https:// URL like https://api.dify.ai/v1, without user, query or fragment: the key belongs in apiKeySecretRef"
	BaseURL string `json:"baseURL,omitempty"`

	// filesURL is where Dify's files are (its FILES_URL), for example
	// http://dify-files.dify.svc:5001, if that is neither the host of baseURL nor one
	// of the Internet: pictures that the app makes are fetched from there. Default:
	// the host of baseURL.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule=`isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname() != '' && !self.contains('@') && !self.contains('?') && !self.contains('#')`,message="filesURL must be an http:// or https:// URL like https://files.example.com, without user, query or fragment"
	FilesURL string `json:"filesURL,omitempty"`

	// caSecretRef names the Secret key that holds the CA certificates (PEM) that
	// signed Dify's certificate, for a Dify with a private CA. They are trusted
	// beside the system's. Default: the system's.
	// +optional
	CASecretRef *SecretKeyRef `json:"caSecretRef,omitempty"`

	// inputs are the values of the app's variables, the same for every question,
	// for example {city: Shanghai}; at most 50, each at most 4096 characters. A
	// variable that the app requires must be here.
	// +optional
	// +kubebuilder:validation:MaxProperties=50
	// +kubebuilder:validation:XValidation:rule=`!('' in self)`,message="an input needs the name of one of the app's variables: remove the one without"
	Inputs map[string]InputValue `json:"inputs,omitempty"`

	// timeout is how long one answer may take in all, 1s to 1h. Default 5m.
	// +optional
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule=`self.matches('^([0-9]{1,6}([.][0-9]{1,3})?(ms|s|m|h))+$') && duration(self) >= duration('1s') && duration(self) <= duration('1h')`,message="timeout must be a duration from 1s to 1h, like 5m or 90s"
	Timeout metav1.Duration `json:"timeout,omitzero"`

	// idleTimeout is how long Dify may send nothing before an answer is given up,
	// 1s to 1h. Default 60s.
	// +optional
	// +kubebuilder:default="60s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule=`self.matches('^([0-9]{1,6}([.][0-9]{1,3})?(ms|s|m|h))+$') && duration(self) >= duration('1s') && duration(self) <= duration('1h')`,message="idleTimeout must be a duration from 1s to 1h, like 60s"
	IdleTimeout metav1.Duration `json:"idleTimeout,omitzero"`
}

// InputValue is the value of one variable of a Dify app.
//
// +kubebuilder:validation:MaxLength=4096
type InputValue string
