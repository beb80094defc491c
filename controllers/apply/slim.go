package apply

import (
	"bytes"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// Slim is the cache's transform of children. Of managedFields it leaves what tells the operator's fields, and of
// session stores neither that, where it is what the operator applied, nor the conversations: a bot has eight of them.
func Slim(o any) (any, error) {
	child, ok := o.(client.Object)
	if !ok {
		return o, nil // a tombstone
	}
	child.SetManagedFields(slices.Clip(slices.DeleteFunc(child.GetManagedFields(), func(e metav1.ManagedFieldsEntry) bool {
		return e.Manager != naming.FieldOwner || e.Operation != metav1.ManagedFieldsOperationApply
	})))
	if store, ok := child.(*corev1.ConfigMap); ok && store.Labels[naming.LabelComponent] == naming.Sessions {
		store.Data, store.BinaryData = nil, nil
		if ownsSessions(store) {
			store.ManagedFields = sessionFields
		}
	}
	return o, nil
}

// sessionFields stand for what the operator owns of a session store: the labels and the owner. They are one for all
// stores, known by their address; read as managedFields they say that nothing is owned, which only leads to an apply.
var sessionFields = []metav1.ManagedFieldsEntry{{
	Manager: naming.FieldOwner, Operation: metav1.ManagedFieldsOperationApply, APIVersion: "v1",
	FieldsType: "FieldsV1", FieldsV1: &metav1.FieldsV1{Raw: []byte("{}")},
}}

// ownsSessions tells whether the operator owns exactly what it applies to a session store. An API server that writes
// the same set in another way costs memory, no more.
func ownsSessions(store *corev1.ConfigMap) bool {
	if len(store.ManagedFields) != 1 || len(store.OwnerReferences) != 1 || store.ManagedFields[0].FieldsV1 == nil {
		return false
	}
	head, tail, ok := bytes.Cut(store.ManagedFields[0].FieldsV1.Raw, []byte(store.OwnerReferences[0].UID))
	return ok && string(head) == sessionFieldsHead && string(tail) == sessionFieldsTail
}

var (
	sessionLabels = []string{
		naming.LabelComponent, naming.LabelInstance, naming.LabelManagedBy, naming.LabelName, naming.LabelPartOf,
	}
	sessionFieldsHead = `{"f:metadata":{"f:labels":{"f:` + strings.Join(sessionLabels, `":{},"f:`) +
		`":{}},"f:ownerReferences":{"k:{\"uid\":\"`
	sessionFieldsTail = `\"}":{}}}}`
)

// extractSessions is ExtractConfigMap, but knows session stores that came through Slim: they are half of a bot's
// children.
func extractSessions(live *corev1.ConfigMap, fieldOwner string) (*corev1ac.ConfigMapApplyConfiguration, error) {
	if len(live.ManagedFields) != 1 || &live.ManagedFields[0] != &sessionFields[0] {
		return corev1ac.ExtractConfigMap(live, fieldOwner)
	}
	owned := make(map[string]string, len(sessionLabels))
	for _, label := range sessionLabels {
		owned[label] = live.Labels[label]
	}
	owner := &live.OwnerReferences[0]
	return corev1ac.ConfigMap(live.Name, live.Namespace).WithLabels(owned).
		WithOwnerReferences(&metav1ac.OwnerReferenceApplyConfiguration{
			APIVersion: &owner.APIVersion, Kind: &owner.Kind, Name: &owner.Name, UID: &owner.UID,
			Controller: owner.Controller, BlockOwnerDeletion: owner.BlockOwnerDeletion,
		}), nil
}
