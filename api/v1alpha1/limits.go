package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Limits protect the Dify app and its budget.
type Limits struct {
	// questions is how many questions one follower may ask within window, 1 to
	// 10000; further ones get the text rateLimited. Default 20.
	// +optional
	// +kubebuilder:default=20
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	Questions int32 `json:"questions,omitempty"`

	// window is the time over which a follower's questions are counted, 1s to 24h.
	// Default 10m.
	// +optional
	// +kubebuilder:default="10m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule=`self.matches('^([0-9]{1,6}([.][0-9]{1,3})?(ms|s|m|h))+$') && duration(self) >= duration('1s') && duration(self) <= duration('24h')`,message="window must be a duration from 1s to 24h, like 10m"
	Window metav1.Duration `json:"window,omitzero"`

	// concurrency is how many answers all replicas together fetch from Dify at once, 1
	// to 10000; when all are taken, questions wait or get the text busy. Default 50.
	// +optional
	// +kubebuilder:default=50
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	Concurrency int32 `json:"concurrency,omitempty"`
}
