package apply

import (
	"bytes"
	"crypto/sha256"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"weak"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// Slim makes the cache's transform of children. What is equal in many of them is kept once: labels, selectors and owner
// references of a bot's children, managedFields, and what the pods of all bots have in common. Of managedFields it leaves what
// tells the operator's fields, and of session stores not the conversations: a bot has eight of them.
func Slim() func(any) (any, error) {
	common := newCommon()
	return func(o any) (any, error) {
		if child, ok := o.(client.Object); ok { // not a tombstone
			slim(child)
			common.share(child)
		}
		return o, nil
	}
}

// SlimBot makes the cache's transform of bots. It leaves out managedFields and what kubectl applied last, which nobody reads,
// and keeps words once that many conditions have.
func SlimBot() func(any) (any, error) {
	var mu sync.Mutex
	words := texts{}
	return func(o any) (any, error) {
		bot, ok := o.(*v1alpha1.WechatBot)
		if !ok {
			return o, nil
		}
		mu.Lock()
		defer mu.Unlock()
		bot.ManagedFields = nil
		delete(bot.Annotations, corev1.LastAppliedConfigAnnotation)
		words.share(&bot.Namespace)
		for i := range bot.Status.Conditions {
			c := &bot.Status.Conditions[i]
			words.share(&c.Type)
			words.share((*string)(&c.Status))
			words.share(&c.Reason)
			words.share(&c.Message)
		}
		return bot, nil
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
	mu      sync.Mutex
	bots    map[types.UID]*kin
	sweepAt int // with so many bots those that are gone are dropped
	texts   texts
	fields  map[[2]string][]metav1.ManagedFieldsEntry // by API version and fields without the owner
	raw     []byte                                    // those of the child at hand
	pods    map[digest]*corev1.PodSpec                // without what each bot has its own of
}

func newCommon() *common {
	return &common{
		bots: map[types.UID]*kin{}, sweepAt: minSwept, texts: texts{},
		fields: map[[2]string][]metav1.ManagedFieldsEntry{}, pods: map[digest]*corev1.PodSpec{},
	}
}

// kin is what the children of a bot share, for as long as one of them is there.
type kin struct {
	owner weak.Pointer[owner]
	maps  []map[string]string // labels and selectors, the latest last
}

// owner is the owner references of a child.
type owner [1]metav1.OwnerReference

// These bound what is remembered of bots and releases that are long gone; past the last three, sharing starts anew. A cluster
// has a few dozen sets of fields, and a few kinds of pods.
const (
	minSwept     = 1 << 10
	maxKinMaps   = 8
	maxFieldSets = 1 << 10
	maxPodSpecs  = 1 << 8
	maxTexts     = 1 << 12
)

func (c *common) share(child client.Object) {
	owners := child.GetOwnerReferences()
	if len(owners) != 1 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shareFields(child, owners[0].UID)
	namespace := child.GetNamespace()
	c.texts.share(&namespace)
	child.SetNamespace(namespace)
	known, first := c.kinOf(owners[0])
	if reflect.DeepEqual(first[0], owners[0]) {
		child.SetOwnerReferences(first[:])
	}
	child.SetLabels(known.share(child.GetLabels()))
	switch child := child.(type) {
	case *corev1.Service:
		child.Spec.Selector = known.share(child.Spec.Selector)
	case *appsv1.Deployment:
		c.sharePods(known, child.Spec.Selector, &child.Spec.Template)
	case *appsv1.StatefulSet:
		c.sharePods(known, child.Spec.Selector, &child.Spec.Template)
	}
}

// kinOf finds the kin of a child, and the owner that they share.
func (c *common) kinOf(of metav1.OwnerReference) (*kin, *owner) {
	if known, ok := c.bots[of.UID]; ok {
		if first := known.owner.Value(); first != nil {
			return known, first
		}
	}
	if len(c.bots) >= c.sweepAt {
		maps.DeleteFunc(c.bots, func(_ types.UID, k *kin) bool { return k.owner.Value() == nil })
		c.sweepAt = max(minSwept, 2*len(c.bots))
	}
	c.texts.share(&of.APIVersion)
	c.texts.share(&of.Kind)
	first := &owner{of}
	c.bots[of.UID] = &kin{owner: weak.Make(first)}
	return c.bots[of.UID], first
}

// share gives a map that is equal, if there is one.
func (k *kin) share(m map[string]string) map[string]string {
	if len(m) == 0 {
		return m
	}
	for _, known := range k.maps {
		if maps.Equal(known, m) {
			return known
		}
	}
	k.maps = append(k.maps[max(0, len(k.maps)-maxKinMaps+1):], m)
	return m
}

// sharePods keeps once what the pods of many bots have in common, their containers above all.
func (c *common) sharePods(known *kin, selector *metav1.LabelSelector, template *corev1.PodTemplateSpec) {
	template.Labels = known.share(template.Labels)
	if selector != nil {
		selector.MatchLabels = known.share(selector.MatchLabels)
	}
	own, spec := template.Spec, template.Spec
	moveOwn(&spec, &corev1.PodSpec{})
	encoded, err := spec.Marshal()
	if err != nil {
		return
	}
	key := sha256.Sum256(encoded)
	if c.pods[key] == nil {
		if len(c.pods) >= maxPodSpecs {
			clear(c.pods)
		}
		c.pods[key] = &spec
	}
	template.Spec = *c.pods[key]
	moveOwn(&template.Spec, &own)
}

// moveOwn puts into a pod what each bot has its own of.
func moveOwn(to, from *corev1.PodSpec) {
	to.ServiceAccountName, to.DeprecatedServiceAccount = from.ServiceAccountName, from.DeprecatedServiceAccount
	to.Volumes, to.TopologySpreadConstraints = from.Volumes, from.TopologySpreadConstraints
}

// texts are kept once, as long as there are few.
type texts map[string]string

func (t texts) share(text *string) {
	if known, ok := t[*text]; ok {
		*text = known
		return
	}
	if len(t) >= maxTexts {
		clear(t)
	}
	t[*text] = *text
}

// shareFields keeps equal managedFields once. In them is the owner's UID, for which anyOwner stands.
func (c *common) shareFields(child client.Object, owner types.UID) {
	fields := child.GetManagedFields()
	if len(fields) != 1 || fields[0].FieldsV1 == nil || fields[0].Subresource != "" {
		return
	}
	// Most are known, and nothing of them is kept: there are two kilobytes of a child.
	c.raw = appendWithoutOwner(c.raw[:0], fields[0].FieldsV1.GetRawBytes(), owner)
	known, ok := c.fields[[2]string{fields[0].APIVersion, string(c.raw)}]
	if !ok {
		if len(c.fields) >= maxFieldSets {
			clear(c.fields)
		}
		known = []metav1.ManagedFieldsEntry{{
			Manager: naming.FieldOwner, Operation: metav1.ManagedFieldsOperationApply, APIVersion: fields[0].APIVersion,
			FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(string(c.raw)),
		}}
		c.fields[[2]string{fields[0].APIVersion, string(c.raw)}] = known
	}
	child.SetManagedFields(known)
}

// anyOwner stands in managedFields for the UID of the object's owner. No UID is like it.
const anyOwner = "owner"

func ownerKey(uid types.UID) string { return `k:{\"uid\":\"` + string(uid) + `\"}` }

func appendWithoutOwner(to, fields []byte, owner types.UID) []byte {
	before, after, found := bytes.Cut(fields, []byte(ownerKey(owner)))
	to = append(to, before...)
	if found {
		to = append(to, ownerKey(anyOwner)...)
	}
	return append(to, after...)
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
