package apply

import (
	"maps"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// Slim makes the cache's transform of children. Equal labels and owner references of a bot's children are one. Of managedFields it leaves what tells the operator's fields, and of
// session stores neither that, where it is what the operator applied, nor the conversations: a bot has eight of them.
func Slim() func(any) (any, error) {
	common := &common{known: map[family]*metav1.ObjectMeta{}}
	return func(o any) (any, error) {
		if child, ok := o.(client.Object); ok { // not a tombstone
			slim(child)
			common.share(child)
		}
		return o, nil
	}
}

func slim(child client.Object) {
	child.SetManagedFields(slices.Clip(slices.DeleteFunc(child.GetManagedFields(), func(e metav1.ManagedFieldsEntry) bool {
		return e.Manager != naming.FieldOwner || e.Operation != metav1.ManagedFieldsOperationApply
	})))
	if store, ok := child.(*corev1.ConfigMap); ok && store.Labels[naming.LabelComponent] == naming.Sessions {
		store.Data, store.BinaryData = nil, nil
		if ownsSessions(store) {
			store.ManagedFields = sessionFields
		}
	}
}

// common is what children of one bot have in common. Objects in a cache are never changed, so it can be shared.
type common struct {
	mu    sync.Mutex
	known map[family]*metav1.ObjectMeta
}

// family are children of a bot that have the same labels.
type family struct {
	bot       types.UID
	component string
}

// maxFamilies bounds what is remembered of bots that are long gone; past it, sharing starts anew.
const maxFamilies = 8 << 10

func (c *common) share(child client.Object) {
	owners, labels := child.GetOwnerReferences(), child.GetLabels()
	if len(owners) != 1 {
		return
	}
	key := family{owners[0].UID, labels[naming.LabelComponent]}
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.known[key]
	if !ok {
		if len(c.known) >= maxFamilies {
			clear(c.known)
		}
		c.known[key] = &metav1.ObjectMeta{Labels: labels, OwnerReferences: owners}
		return
	}
	if maps.Equal(known.Labels, labels) {
		child.SetLabels(known.Labels)
	}
	if equality.Semantic.DeepEqual(known.OwnerReferences, owners) {
		child.SetOwnerReferences(known.OwnerReferences)
	}
}

// sessionFields stand for what the operator owns of a session store: the labels and the owner. They are one for all
// stores, known by their address; read as managedFields they say that nothing is owned, which only leads to an apply.
var sessionFields = []metav1.ManagedFieldsEntry{{
	Manager: naming.FieldOwner, Operation: metav1.ManagedFieldsOperationApply, APIVersion: "v1",
	FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1("{}"),
}}

// ownsSessions tells whether the operator owns exactly what it applies to a session store. An API server that writes
// the same set in another way costs memory, no more.
func ownsSessions(store *corev1.ConfigMap) bool {
	if len(store.ManagedFields) != 1 || len(store.OwnerReferences) != 1 || store.ManagedFields[0].FieldsV1 == nil {
		return false
	}
	head, tail, ok := strings.Cut(store.ManagedFields[0].FieldsV1.GetRawString(), string(store.OwnerReferences[0].UID))
	return ok && head == sessionFieldsHead && tail == sessionFieldsTail
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
