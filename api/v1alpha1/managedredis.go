package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
)

// ManagedRedis is a single Redis that the operator makes for one bot: it keeps its data on a volume, has a generated
// password, and answers nobody but the bot's webhook servers.
//
// +kubebuilder:validation:XValidation:rule=`has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)`,message="storageClassName cannot be changed, as the volume is there: set it back; to move, set session.redis.external or make another bot",fieldPath=`.storageClassName`,reason=FieldValueForbidden
type ManagedRedis struct {
	// storage is the size of the volume, for example 1Gi; at least 128Mi. The log
	// that Redis writes there is rewritten when it has doubled: give three times
	// the memory limit. It can grow, where the StorageClass allows it, but not
	// become less than the volume has. Default 1Gi.
	// +optional
	// +kubebuilder:default="1Gi"
	// +kubebuilder:validation:XValidation:rule=`quantity(string(self)).compareTo(quantity('128Mi')) >= 0`,message="storage must be at least 128Mi, like 1Gi"
	Storage resource.Quantity `json:"storage,omitzero"`

	// storageClassName is the StorageClass of the volume, for example fast-ssd. It
	// cannot be changed. Default: the cluster's default class.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule=`self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')`,message="storageClassName must be the name of a StorageClass: a-z, 0-9, - and ."
	StorageClassName string `json:"storageClassName,omitempty"`

	// image is the image of Redis 6.2 or newer, for example
	// registry.example.com/redis:7.4-alpine. It needs redis-server and redis-cli.
	// Default: what the operator's flag --redis-image says, without it
	// docker.io/library/redis:7.4-alpine.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule=`self.matches('^[A-Za-z0-9][-A-Za-z0-9._/:@]*$')`,message="image must be an image reference like docker.io/library/redis:7.4-alpine, without a scheme or spaces"
	Image string `json:"image,omitempty"`

	// resources are the requests and limits of the Redis' container. Redis uses
	// three quarters of the memory limit for data, and refuses more. Default:
	// {requests: {cpu: 20m, memory: 64Mi}, limits: {memory: 256Mi}}.
	// +optional
	Resources *Resources `json:"resources,omitempty"`

	// nodeSelector are the labels of the nodes that the Redis may run on, for
	// example {disk: ssd}.
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`

	// tolerations are the taints that the Redis tolerates, as in a pod's spec; at
	// most 16.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Tolerations []PodField `json:"tolerations,omitempty"`

	// affinity says which nodes and pods the Redis wants to be near to, as in a
	// pod's spec.
	// +optional
	Affinity *PodField `json:"affinity,omitempty"`

	// topologySpreadConstraints spread the Redis and other pods over zones, as in a
	// pod's spec; at most 16.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	TopologySpreadConstraints []PodField `json:"topologySpreadConstraints,omitempty"`

	// priorityClassName is the PriorityClass of the Redis.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	PriorityClassName string `json:"priorityClassName,omitempty"`

	// deletePVC deletes the volume when the bot is deleted, or gets another session
	// store. Default false: the PersistentVolumeClaim stays, and is used again by a
	// bot of the same name.
	// +optional
	DeletePVC bool `json:"deletePVC,omitempty"`
}

// PodField is part of a pod's spec. It is checked strictly when it is used: an invalid one is reported as Stalled.
//
// +kubebuilder:validation:Type=object
// +kubebuilder:pruning:PreserveUnknownFields
type PodField struct {
	runtime.RawExtension `json:",inline"`
}
