package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// WechatBot joins one WeChat Official Account to one Dify app: the operator
// runs a webhook server for it, exposes it at its domain, and says in the
// status which address to paste into WeChat's console and what, if anything,
// is missing.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=wbot,categories={all,wechat}
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.replicas,statuspath=.status.replicas,selectorpath=.status.selector
// +kubebuilder:selectablefield:JSONPath=".spec.domain"
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Connected",type=string,JSONPath=`.status.conditions[?(@.type=="Connected")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.status.url`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Replicas",type=integer,priority=1,JSONPath=`.status.replicas`
// +kubebuilder:printcolumn:name="Session",type=string,priority=1,JSONPath=`.spec.session.type`
// +kubebuilder:printcolumn:name="Dify",type=string,priority=1,JSONPath=`.status.dify.appName`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.summary`
// +kubebuilder:validation:XValidation:rule=`size(self.metadata.name) <= 52 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')`,message="metadata.name must start with a letter, end with a letter or digit, hold only a-z, 0-9 and -, and have at most 52 characters: the names of the Service and of the other objects are made from it"
// +kubebuilder:validation:XValidation:rule=`size(self.metadata.name) <= 46 || !has(self.spec.session) || !has(self.spec.session.redis) || !has(self.spec.session.redis.managed)`,message="with session.redis.managed, metadata.name must have at most 46 characters, as Kubernetes labels the Redis' pods with more than the name: use a shorter name, or session.redis.external"
type WechatBot struct {
	metav1.TypeMeta `json:",inline"`

	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what you want: the account, the Dify app, and how the bot is served.
	// +required
	Spec WechatBotSpec `json:"spec"`

	// status is what the operator found: the address for WeChat's console, and the
	// conditions.
	// +optional
	Status WechatBotStatus `json:"status,omitzero"`
}

// WechatBotList is a list of WechatBots.
//
// +kubebuilder:object:root=true
type WechatBotList struct {
	metav1.TypeMeta `json:",inline"`

	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []WechatBot `json:"items"`
}

// WechatBotSpec is what the user wants of one bot.
//
// +kubebuilder:validation:XValidation:rule=`!(has(self.ingress) && has(self.gateway))`,message="set ingress or gateway, not both: remove one of them",fieldPath=`.gateway`
// +kubebuilder:validation:XValidation:rule=`!has(self.replicas) || self.replicas <= 1 || (has(self.session) && has(self.session.type) && self.session.type == 'Redis')`,message="more than one replica needs a session store that replicas can share: set session.type to Redis (and session.redis), or keep replicas at 1",fieldPath=`.replicas`
// +kubebuilder:validation:XValidation:rule=`!has(self.reply) || !has(self.reply.mode) || self.reply.mode != 'CustomerService' || has(self.wechat) && has(self.wechat.appSecretRef)`,message="answers are pushed through WeChat's API: set wechat.appSecretRef and wechat.appID",fieldPath=`.reply.mode`
// +kubebuilder:validation:XValidation:rule=`!has(self.menu) || has(self.wechat) && has(self.wechat.appSecretRef)`,message="the menu is published through WeChat's API: set wechat.appSecretRef and wechat.appID",fieldPath=`.menu`
// +kubebuilder:validation:XValidation:rule=`!has(self.handover) || has(self.wechat) && has(self.wechat.appSecretRef)`,message="WeChat's API is asked who is online: set wechat.appSecretRef and wechat.appID",fieldPath=`.handover`
// +kubebuilder:validation:XValidation:rule=`has(self.handover) || !has(self.menu) || self.menu.all(b, !has(b.handover) && (!has(b.items) || b.items.all(i, !has(i.handover))))`,message="the menu hands over: set handover, {} is enough",fieldPath=`.handover`
// +kubebuilder:validation:XValidation:rule=`has(self.handover) || !has(self.keywords) || self.keywords.all(k, !has(k.handover))`,message="a keyword hands over: set handover, {} is enough",fieldPath=`.handover`
// +kubebuilder:validation:XValidation:rule=`!has(self.handover) || !has(self.handover.words) || !has(self.reply) || !has(self.reply.continueWords) || !self.handover.words.exists(w, self.reply.continueWords.exists(c, c == w))`,message="a word of handover.words is one of reply.continueWords: choose another",fieldPath=`.handover.words`
type WechatBotSpec struct {
	// domain is the public DNS name of the webhook, for example bot.example.com:
	// lower case, with at least one dot, at most 253 characters; an
	// internationalised name in its xn-- form. Its DNS record must point to your
	// ingress controller or Gateway. Use a domain of its own for each account:
	// WeChat blocks domains, and a block then hits one bot only. Required.
	// +required
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule=`self.matches('^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?[.])+[a-z]([-a-z0-9]{0,61}[a-z0-9])?$')`,message="domain must be a DNS name like bot.example.com: lower case, no https://, port, path, wildcard, IP address, underscore or dot at the end; IDN as xn--..."
	Domain string `json:"domain"`

	// path is the path of the webhook on the domain, for example /winter: an
	// absolute path of letters, digits and - . _ ~, without a trailing slash and
	// at most 256 characters. Two bots may share a domain if their paths differ.
	// Default /wechat.
	// +optional
	// +kubebuilder:default="/wechat"
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule=`self.matches('^(/|(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+)$')`,message="path must be an absolute path like /wechat: segments of letters, digits and - . _ ~ that do not start with a dot, no trailing slash, no query"
	// +kubebuilder:validation:XValidation:rule=`!self.startsWith('/MP_verify_')`,message="path must not be that of a verification file: choose another one, like /wechat"
	Path string `json:"path,omitempty"`

	// tokenSecretRef names the Secret key that holds the Token: the 3 to 32
	// letters and digits which you also type into the server configuration of
	// WeChat's console. Every push is authenticated with it. Required.
	// +required
	TokenSecretRef SecretKeyRef `json:"tokenSecretRef"`

	// wechat describes the Official Account beyond its Token; needed for secure
	// (encrypted) mode.
	// +optional
	WeChat WeChat `json:"wechat,omitzero"`

	// dify describes the Dify app that answers. Required.
	// +required
	Dify Dify `json:"dify"`

	// reply says how followers are answered: timing, language and fixed texts.
	// +optional
	// +kubebuilder:default={}
	Reply Reply `json:"reply,omitzero"`

	// handover lets followers ask for a person of the account's customer service
	// (客服), who then serves them while the bot is silent. Verified accounts may;
	// takes wechat.appSecretRef. Without it words like 人工 are questions.
	// +optional
	Handover *Handover `json:"handover,omitempty"`

	// keywords are answered by the bot itself, without asking the app, for
	// example [{words: [地址], match: Contains, reply: 中山路 1 号}]; at most 50.
	// The first that fits counts.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=50
	Keywords []Keyword `json:"keywords,omitempty"`

	// menu is the account's menu: 1 to 3 buttons, for example [{name: 帮助,
	// command: /help}]. Accounts that may have none by WeChat's API show it as
	// links under the welcome and /help. Without it the account's menu stays.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=3
	Menu []MenuButton `json:"menu,omitempty"`

	// menuPolicy is for a menu that was changed in WeChat's console since: Report
	// tells it, Enforce publishes menu again. Default Report.
	// +optional
	MenuPolicy MenuPolicy `json:"menuPolicy,omitempty"`

	// limits protect the Dify app and its budget.
	// +optional
	// +kubebuilder:default={}
	Limits Limits `json:"limits,omitzero"`

	// session says where conversations are remembered, and for how long.
	// +optional
	// +kubebuilder:default={}
	Session Session `json:"session,omitzero"`

	// tracing sends a trace of each turn to an OpenTelemetry collector: its
	// deliveries, its queue, Dify, what is sent. No texts and no openids are in it.
	// Without it there are no traces.
	// +optional
	Tracing *Tracing `json:"tracing,omitempty"`

	// replicas is the number of webhook servers, 0 to 100. More than one needs
	// session.type Redis; 0 stops the bot. `kubectl scale wechatbot` and a
	// HorizontalPodAutoscaler that targets the WechatBot set this field. Default 1.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Replicas *int32 `json:"replicas,omitempty"`

	// ingress shapes the Ingress that exposes the bot. Without ingress and gateway
	// an Ingress of the default class is made. At most one of ingress and gateway.
	// +optional
	Ingress *Ingress `json:"ingress,omitempty"`

	// gateway exposes the bot by a Gateway API HTTPRoute instead of an Ingress. At
	// most one of ingress and gateway.
	// +optional
	Gateway *Gateway `json:"gateway,omitempty"`

	// image is the webhook server's image, for example
	// registry.example.com/wechatbot-operator:v0.1.0. Default: the operator's own
	// image, so that both are of one version.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule=`self.matches('^[A-Za-z0-9][-A-Za-z0-9._/:@]*$')`,message="image must be an image reference like registry.example.com/wechatbot-operator:v0.1.0, without a scheme or spaces"
	Image string `json:"image,omitempty"`

	// imagePullSecrets are the Secrets of the bot's namespace with which the image
	// is pulled, for example [{name: registry}]; at most 16.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`

	// resources are the requests and limits of the webhook server's container, for
	// example {requests: {cpu: 20m, memory: 32Mi}, limits: {memory: 128Mi}}.
	// Default: requests that suit a small account, and a memory limit.
	// +optional
	Resources *Resources `json:"resources,omitempty"`

	// podTemplate is merged (strategic merge patch) over the pod template that the
	// operator makes: for what has no field here, such as nodeSelector,
	// tolerations, affinity, annotations or sidecars; the server's container is
	// named "server". Example: {spec: {nodeSelector: {disk: ssd}}}. It is checked
	// when it is merged: an invalid one is reported as Stalled.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	PodTemplate *runtime.RawExtension `json:"podTemplate,omitempty"`

	// networkPolicy restricts who may reach the webhook server's pods.
	// +optional
	NetworkPolicy NetworkPolicy `json:"networkPolicy,omitzero"`

	// suspend stops the operator from touching the bot: what runs goes on running,
	// changes wait until it is false again. Default false.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// DesiredReplicas is how many webhook servers there should be.
func (s *WechatBotSpec) DesiredReplicas() int32 {
	if s.Replicas == nil {
		return 1
	}
	return *s.Replicas
}

// NetworkPolicy restricts who may reach the webhook server's pods.
type NetworkPolicy struct {
	// enabled makes a NetworkPolicy for the bot's pods. Your network plugin must
	// enforce policies, and your ingress controller must be able to reach the
	// pods. Default false.
	// +optional
	Enabled bool `json:"enabled,omitempty"`
}

// Resources are the requests and limits of a container. What a pod would be refused for is refused here, where the
// field is named as its author knows it.
//
// +kubebuilder:validation:XValidation:rule="!has(self.requests) || !has(self.limits) || ['cpu', 'memory', 'ephemeral-storage'].all(k, !(k in self.requests) || !(k in self.limits) || !quantity(string(self.requests[k])).isGreaterThan(quantity(string(self.limits[k]))))",message="requests are more than limits: raise the limit, or ask for less"
type Resources struct {
	// requests are what a node must have left, for example {cpu: 20m, memory: 64Mi}.
	// +optional
	// +kubebuilder:validation:MaxProperties=8
	// +kubebuilder:validation:XValidation:rule="self.all(k, k in ['cpu', 'memory', 'ephemeral-storage'] || k.startsWith('hugepages-') || k.contains('/'))",message="an unknown resource: use cpu, memory, ephemeral-storage, hugepages-SIZE, or a name with a domain like nvidia.com/gpu"
	// +kubebuilder:validation:XValidation:rule="['cpu', 'memory', 'ephemeral-storage'].all(k, !(k in self) || !isQuantity(string(self[k])) || !quantity(string(self[k])).isLessThan(quantity('0')))",message="a quantity is below 0"
	// +kubebuilder:validation:XValidation:rule="!('memory' in self) || !isQuantity(string(self['memory'])) || !quantity(string(self['memory'])).isLessThan(quantity('4Mi'))",message="memory is below 4Mi, with which no container starts: write a unit, like 128Mi (128m is 0.128 bytes)"
	Requests corev1.ResourceList `json:"requests,omitempty"`

	// limits are the most that it may use, for example {memory: 256Mi}.
	// +optional
	// +kubebuilder:validation:MaxProperties=8
	// +kubebuilder:validation:XValidation:rule="self.all(k, k in ['cpu', 'memory', 'ephemeral-storage'] || k.startsWith('hugepages-') || k.contains('/'))",message="an unknown resource: use cpu, memory, ephemeral-storage, hugepages-SIZE, or a name with a domain like nvidia.com/gpu"
	// +kubebuilder:validation:XValidation:rule="['cpu', 'memory', 'ephemeral-storage'].all(k, !(k in self) || !isQuantity(string(self[k])) || !quantity(string(self[k])).isLessThan(quantity('0')))",message="a quantity is below 0"
	// +kubebuilder:validation:XValidation:rule="!('memory' in self) || !isQuantity(string(self['memory'])) || !quantity(string(self['memory'])).isLessThan(quantity('4Mi'))",message="memory is below 4Mi, with which no container starts: write a unit, like 128Mi (128m is 0.128 bytes)"
	Limits corev1.ResourceList `json:"limits,omitempty"`
}

// SecretKeyRef names one key of a Secret in the bot's namespace.
//
// +kubebuilder:validation:XValidation:rule=`self.name.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$') && self.key.matches('^[.]?[-_a-zA-Z0-9][-_a-zA-Z0-9.]*$')`,message="not a Secret's name and key: a name has a-z, 0-9, - and .; a key has letters, digits, -, _ and ."
type SecretKeyRef struct {
	// name is the Secret's name, for example winter.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// key is the key in the Secret's data, for example token.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key"`
}
