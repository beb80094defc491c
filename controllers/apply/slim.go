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
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// Slim makes the cache's transform of children. What is equal in many of them is kept once: labels and owner references of a
// bot's children, and managedFields. Of these it leaves what tells the operator's fields, and of session stores not the
// conversations: a bot has eight of them.
func Slim() func(any) (any, error) {
	common := &common{known: map[family]*metav1.ObjectMeta{}, fields: map[string][]metav1.ManagedFieldsEntry{}}
	return func(o any) (any, error) {
		if child, ok := o.(client.Object); ok { // not a tombstone
			slim(child)
			common.share(child)
			common.shareFields(child)
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
	}
}

// common is what children have in common. Objects in a cache are never changed, so it can be shared.
type common struct {
	mu     sync.Mutex
	known  map[family]*metav1.ObjectMeta
	fields map[string][]metav1.ManagedFieldsEntry // by API version and fields
}

// family are children of a bot that have the same labels.
type family struct {
	bot       types.UID
	component string
}

// These bound what is remembered of bots that are long gone; past them, sharing starts anew. A cluster has a few dozen sets
// of fields.
const (
	maxFamilies  = 8 << 10
	maxFieldSets = 1 << 10
)

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

// shareFields keeps equal managedFields once. In them is the owner's UID, for which anyOwner stands.
func (c *common) shareFields(child client.Object) {
	fields, owners := child.GetManagedFields(), child.GetOwnerReferences()
	if len(fields) != 1 || len(owners) != 1 || fields[0].FieldsV1 == nil || fields[0].Subresource != "" {
		return
	}
	raw := withoutOwner(fields[0].FieldsV1.GetRawString(), owners[0].UID)
	key := fields[0].APIVersion + " " + raw
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.fields[key]
	if !ok {
		if len(c.fields) >= maxFieldSets {
			clear(c.fields)
		}
		known = []metav1.ManagedFieldsEntry{{
			Manager: naming.FieldOwner, Operation: metav1.ManagedFieldsOperationApply, APIVersion: fields[0].APIVersion,
			FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(raw),
		}}
		c.fields[key] = known
	}
	child.SetManagedFields(known)
}

// anyOwner stands in managedFields for the UID of the object's owner. No UID is like it.
const anyOwner = "owner"

func ownerKey(uid types.UID) string { return `k:{\"uid\":\"` + string(uid) + `\"}` }

func withoutOwner(fields string, owner types.UID) string {
	return strings.Replace(fields, ownerKey(owner), ownerKey(anyOwner), 1)
}

// whole gives back to a child from a cache, as a copy, the managedFields that Slim has shared.
func whole[O client.Object](child O) O {
	fields, owners := child.GetManagedFields(), child.GetOwnerReferences()
	if len(fields) != 1 || len(owners) != 1 || fields[0].FieldsV1 == nil {
		return child
	}
	shared := fields[0].FieldsV1.GetRawString()
	raw := strings.Replace(shared, ownerKey(anyOwner), ownerKey(owners[0].UID), 1)
	if raw == shared {
		return child
	}
	child, _ = child.DeepCopyObject().(O)
	entry := fields[0]
	entry.FieldsV1 = metav1.NewFieldsV1(raw)
	child.SetManagedFields([]metav1.ManagedFieldsEntry{entry})
	return child
}
