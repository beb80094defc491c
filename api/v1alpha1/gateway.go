package v1alpha1

// Gateway exposes a bot by an HTTPRoute. The certificate is the listener's affair.
type Gateway struct {
	// parentRefs are the Gateways (or ListenerSets) that the HTTPRoute attaches
	// to, for example [{name: public, namespace: infra}]; 1 to 8, each once.
	// Required.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:XValidation:rule=`self.all(a, self.exists_one(b, a == b))`,message="each parentRef may be listed once: remove the repeated one"
	ParentRefs []ParentRef `json:"parentRefs"`
}

// ParentKind is a kind of the Gateway API that routes attach to.
//
// +kubebuilder:validation:Enum=Gateway;ListenerSet
type ParentKind string

// What a route may attach to.
const (
	ParentGateway     ParentKind = "Gateway"
	ParentListenerSet ParentKind = "ListenerSet"
)

// ParentRef names a Gateway, or one of its listeners.
type ParentRef struct {
	// name is the Gateway's name, for example public. Required.
	// +required
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule=`self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')`,message="name must be the name of a Gateway: a-z, 0-9, - and ."
	Name string `json:"name"`

	// namespace is the Gateway's namespace, for example infra; its listener must
	// allow routes from the bot's. Default: the bot's namespace.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule=`self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')`,message="namespace must be the name of a namespace: a-z, 0-9 and -"
	Namespace string `json:"namespace,omitempty"`

	// kind is Gateway or ListenerSet, both of gateway.networking.k8s.io. Default
	// Gateway.
	// +optional
	// +kubebuilder:default=Gateway
	Kind ParentKind `json:"kind,omitempty"`

	// sectionName is the name of one listener, for example https. Default: every
	// listener that fits.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule=`self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')`,message="sectionName must be the name of a listener: a-z, 0-9, - and ."
	SectionName string `json:"sectionName,omitempty"`

	// port chooses the listeners of one port, 1 to 65535, for example 443.
	// Default: any port.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`
}
