package apply_test

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/apply"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
	"github.com/wechatbot/wechatbot-operator/controllers/observe"
)

// slim is a child as the cache holds it.
func slim[O client.Object](t *testing.T, child O) O {
	t.Helper()
	copied, ok := child.DeepCopyObject().(O)
	if !ok {
		t.Fatalf("a copy of a %T is none", child)
	}
	kept, err := apply.Slim()(copied)
	if err != nil {
		t.Fatal(err)
	}
	return kept.(O)
}

func TestASlimChildIsComparedAsAWholeOne(t *testing.T) {
	f := setup(t)
	var made observe.Children
	if err := f.writer.All(t.Context(), f.bot, f.children(t), &made); err != nil {
		t.Fatal(err)
	}
	read := func(child client.Object) {
		t.Helper()
		if err := f.client.Get(t.Context(), client.ObjectKeyFromObject(child), child); err != nil {
			t.Fatal(err)
		}
	}
	for _, store := range made.Sessions {
		read(store) // the answer of an apply has no managedFields
	}
	read(made.Deployment)
	read(made.Config)
	// The server writes, and people label.
	stored := made.Sessions[0].DeepCopy()
	stored.Data, stored.Labels["team"] = map[string]string{"follower": "hello"}, "winter"
	if err := f.client.Update(t.Context(), stored, client.FieldOwner("server")); err != nil {
		t.Fatal(err)
	}
	have := made
	have.Sessions[0] = slim(t, stored)
	for i := 1; i < len(have.Sessions); i++ {
		have.Sessions[i] = slim(t, made.Sessions[i])
	}
	have.Deployment, have.Config = slim(t, made.Deployment), slim(t, made.Config)
	if have.Sessions[0].Data != nil || len(have.Sessions[0].ManagedFields) != 1 {
		t.Errorf("of a session store the cache keeps %v", have.Sessions[0])
	}
	if have.Config.Data == nil || len(have.Deployment.ManagedFields) != 1 {
		t.Errorf("the cache keeps %v and %v", have.Config, have.Deployment)
	}
	before := have
	if err := f.writer.All(t.Context(), f.bot, f.children(t), &have); err != nil {
		t.Fatal(err)
	}
	if have.Sessions != before.Sessions || have.Deployment != before.Deployment || have.Config != before.Config {
		t.Error("what is as it should be was written")
	}

	for name, change := range map[string]func(*corev1.ConfigMap){
		"a label of the operator's is another": func(c *corev1.ConfigMap) { c.Labels[naming.LabelName] = "else" },
		"a label of the operator's is gone":    func(c *corev1.ConfigMap) { delete(c.Labels, naming.LabelPartOf) },
		"the owner has another name":           func(c *corev1.ConfigMap) { c.OwnerReferences[0].Name = "else" },
	} {
		t.Run(name, func(t *testing.T) {
			now := stored.DeepCopy()
			read(now)
			change(now)
			if err := f.client.Update(t.Context(), now, client.FieldOwner("else")); err != nil {
				t.Fatal(err)
			}
			have.Sessions[0] = slim(t, now)
			if err := f.writer.All(t.Context(), f.bot, f.children(t), &have); err != nil {
				t.Fatal(err)
			}
			healed := have.Sessions[0]
			if diff := cmp.Diff(stored.Labels, healed.Labels); diff != "" || healed.OwnerReferences[0].Name != f.bot.Name {
				t.Errorf("the store is not as it was: %s %v", diff, healed.OwnerReferences)
			}
			if healed.Data["follower"] != "hello" {
				t.Error("the conversation is lost")
			}
		})
	}
}

func TestSlimKeepsWhatItDoesNotKnow(t *testing.T) {
	if kept, err := apply.Slim()("a tombstone"); err != nil || kept != "a tombstone" {
		t.Errorf("it gives %v (%v)", kept, err)
	}
	for i, fields := range []string{`{"f:data":{"f:a":{}}}`, `{"f:metadata":{"f:ownerReferences":{"k:{\"uid\":\"3\"}":{}}}}`} {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			store := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
				Labels:          map[string]string{naming.LabelComponent: naming.Sessions},
				OwnerReferences: []metav1.OwnerReference{{UID: "2"}},
				ManagedFields: []metav1.ManagedFieldsEntry{
					{Manager: "kubectl", Operation: metav1.ManagedFieldsOperationApply},
					{Manager: naming.FieldOwner, Operation: metav1.ManagedFieldsOperationUpdate},
					{Manager: naming.FieldOwner, Operation: metav1.ManagedFieldsOperationApply, FieldsV1: metav1.NewFieldsV1(fields)},
				},
			}}
			if kept := slim(t, store).ManagedFields; len(kept) != 1 || kept[0].FieldsV1.GetRawString() != fields {
				t.Errorf("it keeps %v", kept)
			}
		})
	}
}

// What the operator owns is kept once for all bots, and yet of each child it is known.
func TestChildrenShareManagedFields(t *testing.T) {
	transform := apply.Slim()
	child := func(uid types.UID, fields string) *corev1.ConfigMap {
		c := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
			OwnerReferences: []metav1.OwnerReference{{UID: uid, Controller: new(true)}},
			ManagedFields: []metav1.ManagedFieldsEntry{{
				Manager: naming.FieldOwner, Operation: metav1.ManagedFieldsOperationApply, APIVersion: "v1", FieldsType: "FieldsV1",
				FieldsV1: metav1.NewFieldsV1(`{"f:data":{"` + fields + `":{}},"f:metadata":{"f:ownerReferences":{"k:{\"uid\":\"` + string(uid) + `\"}":{}}}}`),
			}},
		}}
		if _, err := transform(c); err != nil {
			t.Fatal(err)
		}
		return c
	}
	first, second, other := child("1", "f:a"), child("2", "f:a"), child("3", "f:b")
	if &first.ManagedFields[0] != &second.ManagedFields[0] || &first.ManagedFields[0] == &other.ManagedFields[0] {
		t.Error("not exactly the fields that are equal are shared")
	}
	for i := range 10_000 { // the bound
		child("4", fmt.Sprint("f:", i))
	}
	if again := child("5", "f:a"); again.ManagedFields[0].FieldsV1.GetRawString() != first.ManagedFields[0].FieldsV1.GetRawString() {
		t.Error("after the bound the fields are others")
	}
}

func TestChildrenOfABotShareWhatIsEqual(t *testing.T) {
	transform := apply.Slim()
	child := func(bot, label string) *corev1.ConfigMap {
		c := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
			Labels:          map[string]string{naming.LabelComponent: naming.Server, "label": label},
			OwnerReferences: []metav1.OwnerReference{{UID: types.UID(bot), Controller: new(true)}},
		}}
		if _, err := transform(c); err != nil {
			t.Fatal(err)
		}
		return c
	}
	first, second, labelled, other := child("1", "a"), child("1", "a"), child("1", "b"), child("2", "a")
	if &first.OwnerReferences[0] != &second.OwnerReferences[0] || &first.OwnerReferences[0] != &labelled.OwnerReferences[0] {
		t.Error("owner references that are equal are kept twice")
	}
	if labelled.Labels["label"] != "b" || other.OwnerReferences[0].UID != "2" {
		t.Errorf("what is not equal is shared: %v, %v", labelled.Labels, other.OwnerReferences)
	}
	first.Labels["shared"] = "yes"
	if second.Labels["shared"] == "" || labelled.Labels["shared"] != "" || other.Labels["shared"] != "" {
		t.Error("not exactly the labels that are equal are shared")
	}
}

// What the pods of all bots have in common is kept once; what is another bot's stays there.
func TestSlim_DeploymentsShareContainers(t *testing.T) {
	f := setup(t)
	transform := apply.Slim()
	var made, kept []*appsv1.Deployment
	for i, image := range []string{"", "", "example.com/other:2"} {
		bot := &v1alpha1.WechatBot{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("bot-", i), Namespace: f.bot.Namespace}, Spec: f.bot.Spec}
		bot.Spec.Image = image
		if err := f.client.Create(t.Context(), bot); err != nil {
			t.Fatal(err)
		}
		var have observe.Children
		if err := f.writer.All(t.Context(), bot, wanted(t, bot), &have); err != nil {
			t.Fatal(err)
		}
		d := new(appsv1.Deployment)
		if err := f.client.Get(t.Context(), client.ObjectKeyFromObject(have.Deployment), d); err != nil {
			t.Fatal(err)
		}
		made = append(made, d.DeepCopy())
		if _, err := transform(d); err != nil {
			t.Fatal(err)
		}
		kept = append(kept, d)
	}
	for i := range made {
		if diff := cmp.Diff(made[i].Spec, kept[i].Spec); diff != "" {
			t.Errorf("the cache has another Deployment of bot %d: %s", i, diff)
		}
	}
	containers := func(i int) *corev1.Container { return &kept[i].Spec.Template.Spec.Containers[0] }
	if containers(0) != containers(1) || containers(0) == containers(2) {
		t.Error("not exactly the containers that are equal are shared")
	}
}

func TestSlimBot_DropsWhatNobodyReads(t *testing.T) {
	transform := apply.SlimBot()
	bot := &v1alpha1.WechatBot{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "bots", Name: "winter", ManagedFields: []metav1.ManagedFieldsEntry{{}},
			Annotations: map[string]string{corev1.LastAppliedConfigAnnotation: "{}", "note": "kept"},
		},
		Spec:   v1alpha1.WechatBotSpec{Domain: "bot.example.com"},
		Status: v1alpha1.WechatBotStatus{URL: "https://bot.example.com", Conditions: []metav1.Condition{{Type: "Ready", Status: metav1.ConditionTrue}}},
	}
	want := bot.DeepCopy()
	want.ManagedFields, want.Annotations = nil, map[string]string{"note": "kept"}
	kept, err := transform(bot)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, kept); diff != "" {
		t.Error(diff)
	}
	if kept, err := transform("a tombstone"); err != nil || kept != "a tombstone" {
		t.Errorf("it gives %v (%v)", kept, err)
	}
}
