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

	// tokens are budgets for a day of reply.timeZone; past them followers get the
	// text budgetSpent, and Dify is not called. What was accepted before is answered.
	// +optional
	Tokens *Tokens `json:"tokens,omitempty"`
}

// Tokens are how many tokens a day the Dify app may use, as it counts them.
//
// +kubebuilder:validation:MinProperties=1
type Tokens struct {
	// follower is how many each follower may use, 1 to 1000000000000; /clear and
	// unfollowing give none back. Default: no limit.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000000000
	Follower int64 `json:"follower,omitempty"`

	// bot is how many all followers together may use, over all replicas, 1 to
	// 1000000000000. Default: no limit.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000000000
	Bot int64 `json:"bot,omitempty"`
}
