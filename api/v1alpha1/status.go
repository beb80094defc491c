package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// WechatBotStatus is what the operator found.
type WechatBotStatus struct {
	// observedGeneration is the metadata.generation that this status is about. A
	// lower one: the operator has not yet looked at the change.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// url is the address to paste into the server configuration of WeChat's
	// console.
	// +optional
	URL string `json:"url,omitempty"`

	// summary is Ready's message, short enough for a line of kubectl get; of a bot
	// that is ready, what WeChat's console or account still lacks.
	// +optional
	Summary string `json:"summary,omitempty"`

	// replicas is how many webhook servers there are.
	// +optional
	Replicas int32 `json:"replicas,omitempty"`

	// readyReplicas is how many of them serve.
	// +optional
	ReadyReplicas int32 `json:"readyReplicas,omitempty"`

	// selector selects the webhook servers' pods: for `kubectl get pods -l` and
	// the HorizontalPodAutoscaler.
	// +optional
	Selector string `json:"selector,omitempty"`

	// sessionStore is where the webhook servers that serve keep conversations:
	// ConfigMap, ManagedRedis or ExternalRedis.
	// +optional
	SessionStore SessionStore `json:"sessionStore,omitempty"`

	// dify is what Dify says of the app.
	// +optional
	Dify DifyStatus `json:"dify,omitzero"`

	// conditions say what works and what is missing; Ready sums them up.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// SessionStore is where webhook servers keep conversations.
type SessionStore string

const (
	// StoreConfigMap is ConfigMaps of the bot's namespace.
	StoreConfigMap SessionStore = "ConfigMap"
	// StoreManagedRedis is the Redis that the operator made.
	StoreManagedRedis SessionStore = "ManagedRedis"
	// StoreExternalRedis is a Redis of the user's.
	StoreExternalRedis SessionStore = "ExternalRedis"
)

// Store is the session store that the spec wants.
func (s *Session) Store() SessionStore {
	switch {
	case s.Type != SessionRedis:
		return StoreConfigMap
	case s.Redis != nil && s.Redis.Managed != nil:
		return StoreManagedRedis
	}
	return StoreExternalRedis
}

// DifyStatus is what Dify says of the app.
type DifyStatus struct {
	// appName is the app's name.
	// +optional
	AppName string `json:"appName,omitempty"`

	// mode is the app's mode, for example advanced-chat.
	// +optional
	Mode string `json:"mode,omitempty"`

	// version is Dify's version, if Dify tells it.
	// +optional
	Version string `json:"version,omitempty"`
}
