package v1alpha1

// Ingress shapes the Ingress that exposes a bot.
type Ingress struct {
	// enabled makes an Ingress. With false you bring your own way in: route the
	// domain to the Service that is named as the bot. Default true.
	// +optional
	// +kubebuilder:default=true
	Enabled *bool `json:"enabled,omitempty"`

	// className is the IngressClass, for example traefik. Default: the operator's
	// --default-ingress-class, else the cluster's default class.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule=`self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')`,message="className must be the name of an IngressClass: a-z, 0-9, - and ."
	ClassName string `json:"className,omitempty"`

	// annotations are put on the Ingress, for example what your ingress controller
	// or external-dns asks for; at most 64.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Annotations map[string]string `json:"annotations,omitempty"`

	// tls says where the domain's certificate comes from.
	// +optional
	TLS IngressTLS `json:"tls,omitzero"`
}

// IngressTLS says where a domain's certificate comes from.
//
// +kubebuilder:validation:XValidation:rule=`!has(self.mode) || self.mode != 'External' || !(has(self.secretName) || has(self.issuerRef))`,message="with mode External there is no Secret: remove secretName and issuerRef",fieldPath=`.mode`
type IngressTLS struct {
	// mode is Secret, a Secret has the certificate, or External, the ingress
	// controller or a load balancer has it. Default Secret.
	// +optional
	Mode TLSMode `json:"mode,omitempty"`

	// secretName is the Secret (type kubernetes.io/tls) of the bot's namespace
	// with the certificate of the domain: yours, or the one that cert-manager
	// fills for issuerRef. Default: the bot's name and -tls.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule=`self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')`,message="secretName must be the name of a Secret in the bot's namespace: a-z, 0-9, - and ."
	SecretName string `json:"secretName,omitempty"`

	// issuerRef has cert-manager get the certificate: it becomes cert-manager's
	// annotation on the Ingress. Default: the operator's --default-issuer, but
	// never for a Secret that you name or made.
	// +optional
	IssuerRef *IssuerRef `json:"issuerRef,omitempty"`
}

// TLSMode says who has a domain's certificate.
//
// +kubebuilder:validation:Enum=Secret;External
type TLSMode string

const (
	// TLSSecret is a certificate in a Secret that the Ingress names.
	TLSSecret TLSMode = "Secret"
	// TLSExternal is one that Kubernetes does not see: the ingress controller's own, or a load balancer's.
	TLSExternal TLSMode = "External"
)

// IssuerKind is a kind of cert-manager issuer.
//
// +kubebuilder:validation:Enum=Issuer;ClusterIssuer
type IssuerKind string

const (
	// NamespacedIssuer is an Issuer of the bot's namespace.
	NamespacedIssuer IssuerKind = "Issuer"
	// ClusterIssuer serves all namespaces.
	ClusterIssuer IssuerKind = "ClusterIssuer"
)

// IssuerRef names a cert-manager issuer.
type IssuerRef struct {
	// name is the issuer's name, for example letsencrypt. Required.
	// +required
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule=`self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')`,message="name must be the name of a cert-manager issuer: a-z, 0-9, - and ."
	Name string `json:"name"`

	// kind is Issuer (of the bot's namespace) or ClusterIssuer. Default Issuer.
	// +optional
	// +kubebuilder:default=Issuer
	Kind IssuerKind `json:"kind,omitempty"`
}
