package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// SessionType is where conversations are remembered.
//
// +kubebuilder:validation:Enum=ConfigMap;Redis
type SessionType string

const (
	// SessionConfigMap keeps conversations in ConfigMaps of the bot's namespace:
	// nothing to install, one replica, a small account.
	SessionConfigMap SessionType = "ConfigMap"
	// SessionRedis keeps conversations in Redis: many replicas, many followers.
	SessionRedis SessionType = "Redis"
)

// Session says where conversations are remembered, and for how long.
//
// +kubebuilder:validation:XValidation:rule=`!has(self.type) || self.type != 'Redis' || has(self.redis)`,message="session.type Redis needs a Redis: set session.redis.managed to {} to have one made, or session.redis.external.addresses to yours",fieldPath=`.redis`,reason=FieldValueRequired
// +kubebuilder:validation:XValidation:rule=`!has(self.redis) || (has(self.type) && self.type == 'Redis')`,message="session.redis is used with session.type Redis only: set session.type to Redis, or remove session.redis",fieldPath=`.redis`,reason=FieldValueForbidden
type Session struct {
	// type is where conversations are remembered: ConfigMap (nothing to install,
	// for one replica and a small account) or Redis (for many replicas and
	// followers; needs redis). Default ConfigMap.
	// +optional
	// +kubebuilder:default=ConfigMap
	Type SessionType `json:"type,omitempty"`

	// idleTimeout is how long a follower may be silent before the conversation is
	// forgotten, 1m to 8760h (a year). Default 24h.
	// +optional
	// +kubebuilder:default="24h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule=`self.matches('^([0-9]{1,6}([.][0-9]{1,3})?(ms|s|m|h))+$') && duration(self) >= duration('1m') && duration(self) <= duration('8760h')`,message="idleTimeout must be a duration from 1m to 8760h, like 24h"
	IdleTimeout metav1.Duration `json:"idleTimeout,omitzero"`

	// history is how many questions with their answers are kept of each follower,
	// to be fetched again with 1; 1 to 200. Default 20.
	// +optional
	// +kubebuilder:default=20
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=200
	History int32 `json:"history,omitempty"`

	// redis describes the Redis of session.type Redis.
	// +optional
	Redis *Redis `json:"redis,omitempty"`
}

// Redis is the Redis that keeps conversations: one that the operator makes, or
// one of yours.
//
// +kubebuilder:validation:XValidation:rule=`has(self.managed) != has(self.external)`,message="set exactly one of managed (the operator makes a Redis; managed: {} will do) and external (a Redis that you run)"
type Redis struct {
	// managed has the operator make a single Redis of the bot's own, which keeps
	// its data on a volume: for many replicas and followers without a Redis to look
	// after. While its pod moves or restarts, followers are told to try again.
	// {} will do. Exactly one of managed and external.
	// +optional
	Managed *ManagedRedis `json:"managed,omitempty"`

	// external is a Redis that you run, version 6.2 or newer. Exactly one of
	// managed and external.
	// +optional
	External *ExternalRedis `json:"external,omitempty"`
}

// RedisMode is how a Redis is built.
//
// +kubebuilder:validation:Enum=Standalone;Sentinel;Cluster
type RedisMode string

const (
	// RedisStandalone is one Redis, at one address.
	RedisStandalone RedisMode = "Standalone"
	// RedisSentinel is a Redis whose master is asked of Sentinels.
	RedisSentinel RedisMode = "Sentinel"
	// RedisCluster is a Redis Cluster.
	RedisCluster RedisMode = "Cluster"
)

// ExternalRedis is a Redis that the user runs.
//
// +kubebuilder:validation:XValidation:rule=`(has(self.mode) && self.mode != 'Standalone') || size(self.addresses) <= 1`,message="mode Standalone has one address: give one, or set mode to Sentinel or Cluster",fieldPath=`.addresses`
// +kubebuilder:validation:XValidation:rule=`!has(self.mode) || self.mode != 'Sentinel' || has(self.masterName)`,message="mode Sentinel needs masterName, the name that the Sentinels know the master by",fieldPath=`.masterName`,reason=FieldValueRequired
// +kubebuilder:validation:XValidation:rule=`!has(self.masterName) || (has(self.mode) && self.mode == 'Sentinel')`,message="masterName is used with mode Sentinel only: set mode to Sentinel, or remove masterName",fieldPath=`.masterName`,reason=FieldValueForbidden
// +kubebuilder:validation:XValidation:rule=`!has(self.mode) || self.mode != 'Cluster' || !has(self.database) || self.database == 0`,message="a Redis Cluster has database 0 only: remove database",fieldPath=`.database`
// +kubebuilder:validation:XValidation:rule=`!has(self.usernameSecretRef) || has(self.passwordSecretRef)`,message="a Redis user needs a password: set passwordSecretRef beside usernameSecretRef",fieldPath=`.passwordSecretRef`,reason=FieldValueRequired
// +kubebuilder:validation:XValidation:rule=`!has(self.sentinelUsernameSecretRef) || has(self.sentinelPasswordSecretRef)`,message="a Sentinel's user needs a password: set sentinelPasswordSecretRef beside sentinelUsernameSecretRef",fieldPath=`.sentinelPasswordSecretRef`,reason=FieldValueRequired
// +kubebuilder:validation:XValidation:rule=`!has(self.sentinelPasswordSecretRef) || (has(self.mode) && self.mode == 'Sentinel')`,message="sentinelPasswordSecretRef is used with mode Sentinel only: set mode to Sentinel, or remove it (the Redis' own password is passwordSecretRef)",fieldPath=`.sentinelPasswordSecretRef`,reason=FieldValueForbidden
type ExternalRedis struct {
	// addresses are host:port of the Redis (Standalone: one), of the Sentinels, or
	// of some nodes of the Cluster, for example [redis.example.com:6379]; 1 to 16,
	// an IPv6 address in brackets. Required.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Addresses []RedisAddress `json:"addresses"`

	// mode is how the Redis is built: Standalone, Sentinel or Cluster. Default
	// Standalone.
	// +optional
	// +kubebuilder:default=Standalone
	Mode RedisMode `json:"mode,omitempty"`

	// masterName is the name that the Sentinels know the master by, for example
	// mymaster. Required with mode Sentinel, else not allowed.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	MasterName string `json:"masterName,omitempty"`

	// database is the number of the database, 0 to 65535. Default 0.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=65535
	Database int32 `json:"database,omitempty"`

	// usernameSecretRef names the Secret key that holds the user name (Redis ACL).
	// Default: the user named default.
	// +optional
	UsernameSecretRef *SecretKeyRef `json:"usernameSecretRef,omitempty"`

	// passwordSecretRef names the Secret key that holds the password. Default:
	// none.
	// +optional
	PasswordSecretRef *SecretKeyRef `json:"passwordSecretRef,omitempty"`

	// sentinelUsernameSecretRef names the Secret key that holds the Sentinels' own
	// user name. Default: the user named default.
	// +optional
	SentinelUsernameSecretRef *SecretKeyRef `json:"sentinelUsernameSecretRef,omitempty"`

	// sentinelPasswordSecretRef names the Secret key that holds the Sentinels' own
	// password, which the webhook servers read when they start. Default: none.
	// +optional
	SentinelPasswordSecretRef *SecretKeyRef `json:"sentinelPasswordSecretRef,omitempty"`

	// tls encrypts the connections to the Redis, and to the Sentinels.
	// +optional
	TLS RedisTLS `json:"tls,omitzero"`
}

// RedisAddress is host:port.
//
// +kubebuilder:validation:MaxLength=259
// +kubebuilder:validation:XValidation:rule=`self.matches('^([A-Za-z0-9_]([-A-Za-z0-9_.]*[A-Za-z0-9_])?|[[][0-9A-Fa-f:.]+[]]):[0-9]{1,5}$') && int(self.substring(self.lastIndexOf(':') + 1)) > 0 && int(self.substring(self.lastIndexOf(':') + 1)) < 65536`,message="an address must be host:port like redis.example.com:6379, without redis:// and without a user or password"
type RedisAddress string

// RedisTLS encrypts the connections to a Redis.
//
// +kubebuilder:validation:XValidation:rule=`(has(self.enabled) && self.enabled) || (!has(self.caSecretRef) && !(has(self.insecureSkipVerify) && self.insecureSkipVerify))`,message="tls is not enabled: set tls.enabled to true, or remove caSecretRef and insecureSkipVerify",fieldPath=`.enabled`
type RedisTLS struct {
	// enabled turns TLS on. Default false.
	// +optional
	Enabled bool `json:"enabled,omitempty"`

	// caSecretRef names the Secret key that holds the CA certificates (PEM) that
	// the Redis' certificate is checked against. Default: the system's.
	// +optional
	CASecretRef *SecretKeyRef `json:"caSecretRef,omitempty"`

	// insecureSkipVerify accepts any certificate: for trials only. Default false.
	// +optional
	InsecureSkipVerify bool `json:"insecureSkipVerify,omitempty"`
}
