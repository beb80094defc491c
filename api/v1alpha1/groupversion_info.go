// Package v1alpha1 is the wechatbot.dev/v1alpha1 API: the WechatBot object, its
// defaults and bounds, its validation rules (CEL, so that no admission webhook is
// needed), and the names of its conditions and their reasons.
//
// The comments of the fields are the manual: they become the CRD's descriptions,
// what `kubectl explain wechatbot.spec` prints, and docs/api.md. After a change run
// hack/generate.sh.
//
// The package knows nothing of the controller, of clients, of Gateway API's types or
// of the webhook server.
//
// +kubebuilder:object:generate=true
// +groupName=wechatbot.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// SchemeGroupVersion is the group and version of every type of this package.
var SchemeGroupVersion = schema.GroupVersion{Group: "wechatbot.dev", Version: "v1alpha1"}

// AddToScheme makes the types of this package known to a scheme. It never fails.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(SchemeGroupVersion, &WechatBot{}, &WechatBotList{})
	metav1.AddToGroupVersion(scheme, SchemeGroupVersion)

	return nil
}
