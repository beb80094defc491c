package controllers

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/apply"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
	"github.com/wechatbot/wechatbot-operator/controllers/observe"
)

func store(change func(*corev1.ConfigMap)) *corev1.ConfigMap {
	c := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			UID: "1", Labels: map[string]string{naming.LabelComponent: naming.Sessions},
			OwnerReferences: []metav1.OwnerReference{{UID: "2"}}, ManagedFields: []metav1.ManagedFieldsEntry{{}},
		},
		Data: map[string]string{"follower": "hello"},
	}
	change(c)
	return c
}

func TestConversationsNeitherStayNorWake(t *testing.T) {
	before := store(func(*corev1.ConfigMap) {})
	for name, c := range map[string]struct {
		after client.Object
		wakes bool
	}{
		"a conversation":      {store(func(c *corev1.ConfigMap) { c.Data["follower"], c.ResourceVersion = "bye", "7" }), false},
		"a label":             {store(func(c *corev1.ConfigMap) { c.Labels["a"] = "b" }), true},
		"the owner":           {store(func(c *corev1.ConfigMap) { c.OwnerReferences = nil }), true},
		"the field owners":    {store(func(c *corev1.ConfigMap) { c.ManagedFields = nil }), true},
		"another of the name": {store(func(c *corev1.ConfigMap) { c.UID = "9" }), true},
		"a configuration":     {store(func(c *corev1.ConfigMap) { c.Labels[naming.LabelComponent] = naming.Server }), true},
	} {
		if got := unlessConversation().Update(event.UpdateEvent{ObjectOld: before, ObjectNew: c.after}); got != c.wakes {
			t.Errorf("a change of %s wakes: %v, want %v", name, got, c.wakes)
		}
	}
	if kept, err := apply.Slim()(before); err != nil || kept.(*corev1.ConfigMap).Data != nil {
		t.Errorf("the cache keeps %v (%v)", kept, err)
	}
	config := store(func(c *corev1.ConfigMap) { c.Labels[naming.LabelComponent] = naming.Server })
	if kept, err := apply.Slim()(config); err != nil || kept.(*corev1.ConfigMap).Data["follower"] != "hello" {
		t.Errorf("the cache keeps %v (%v)", kept, err)
	}
}

func TestOnlyTheChildrenOfOthersAreNews(t *testing.T) {
	bots := []metav1.OwnerReference{{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "WechatBot", Name: "winter", UID: "2", Controller: new(true)}}
	for name, row := range map[string]struct {
		manager string
		owners  []metav1.OwnerReference
		news    bool
	}{
		"the operator made it":     {naming.FieldOwner, bots, false},
		"another made it":          {"kubectl", bots, true},
		"it has lost its owner":    {naming.FieldOwner, nil, true},
		"another made an orphan":   {"velero", nil, true},
		"nobody is its controller": {naming.FieldOwner, []metav1.OwnerReference{{UID: "2"}}, true},
	} {
		child := store(func(c *corev1.ConfigMap) {
			c.OwnerReferences = row.owners
			c.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: row.manager, Operation: metav1.ManagedFieldsOperationApply}}
		})
		kept, err := apply.Slim()(child)
		if err != nil {
			t.Fatal(err)
		}
		if got := madeByOthers().Create(event.CreateEvent{Object: kept.(client.Object)}); got != row.news {
			t.Errorf("%s: it wakes: %v, want %v", name, got, row.news)
		}
	}
}

func TestBotOfChild(t *testing.T) {
	owner := func(version, kind string, controller bool) []metav1.OwnerReference {
		return []metav1.OwnerReference{{APIVersion: version, Kind: kind, Name: "owner", UID: "2", Controller: &controller}}
	}
	for name, row := range map[string]struct {
		owners []metav1.OwnerReference
		want   string
	}{
		"a bot owns it":                   {owner(v1alpha1.SchemeGroupVersion.String(), "WechatBot", true), "owner"},
		"a bot of another version":        {owner(v1alpha1.SchemeGroupVersion.Group+"/v9", "WechatBot", true), "owner"},
		"another kind owns it":            {owner(v1alpha1.SchemeGroupVersion.String(), "Other", true), ""},
		"another group's kind owns it":    {owner("example.com/v1", "WechatBot", true), ""},
		"what owns it cannot be read":     {owner("a/b/c", "WechatBot", true), ""},
		"nobody owns it":                  {nil, "labelled"},
		"its owner is not its controller": {owner("v1", "Node", false), "labelled"},
	} {
		child := store(func(c *corev1.ConfigMap) {
			c.Namespace, c.OwnerReferences = "bots", row.owners
			c.Labels = map[string]string{naming.LabelInstance: "labelled", naming.LabelComponent: naming.Server}
		})
		var got []string
		for _, request := range botOfChild(t.Context(), child) {
			got = append(got, request.String())
		}
		var want []string
		if row.want != "" {
			want = []string{"bots/" + row.want}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: it wakes %q, want %q", name, got, want)
		}
	}
}

func TestOfAPodOnlyItsTroubleCounts(t *testing.T) {
	pod := func(reason string) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"a": "b"}, ManagedFields: []metav1.ManagedFieldsEntry{{}}},
			Spec:       corev1.PodSpec{NodeName: "node"},
			Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
				Name: "server", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}},
			}}},
		}
	}
	kept, err := onlyStatus(pod("ErrImagePull"))
	if p := kept.(*corev1.Pod); err != nil || p.Spec.NodeName != "" || p.ManagedFields != nil || len(p.Status.ContainerStatuses) != 1 {
		t.Errorf("the cache keeps %v (%v)", kept, err)
	}
	p := podProblemChanged()
	update := func(before, after string) bool {
		return p.Update(event.UpdateEvent{ObjectOld: pod(before), ObjectNew: pod(after)})
	}
	if update("ErrImagePull", "ImagePullBackOff") || update("", "ContainerCreating") || !update("", "ErrImagePull") {
		t.Error("a pod wakes at the wrong time")
	}
	if p.Create(event.CreateEvent{Object: pod("")}) || !p.Delete(event.DeleteEvent{Object: pod("ErrImagePull")}) {
		t.Error("a pod wakes at the wrong time")
	}
}

// Whatever the operator says of a pod, it says of what the cache keeps of it.
func TestOnlyStatus_SaysTheSame(t *testing.T) {
	started, since := true, metav1.NewTime(time.Unix(1_800_000_000, 0))
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: since}}
	ended := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Message: `{"msg":"no such store"}`}}
	waiting := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"}}
	for name, row := range map[string]struct {
		conditions []corev1.PodCondition
		container  corev1.ContainerStatus
		init       bool
	}{
		"unready": {
			[]corev1.PodCondition{{Type: corev1.PodInitialized}, {Type: corev1.ContainersReady, LastTransitionTime: metav1.NewTime(since.Add(time.Minute))}},
			corev1.ContainerStatus{Name: "server", State: running, Started: &started}, false,
		},
		"ready":            {[]corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}, corev1.ContainerStatus{Name: "server", State: waiting}, false},
		"no node":          {[]corev1.PodCondition{{Type: corev1.PodScheduled, Reason: corev1.PodReasonUnschedulable, Message: "0/1 nodes"}}, corev1.ContainerStatus{}, false},
		"no image":         {nil, corev1.ContainerStatus{Name: "server", Image: "example.com/x:1", State: waiting}, false},
		"no image at init": {nil, corev1.ContainerStatus{Name: "init", Image: "example.com/x:1", State: waiting}, true},
		"it ends":          {nil, corev1.ContainerStatus{Name: "server", RestartCount: 2, State: waiting, LastTerminationState: ended}, false},
	} {
		t.Run(name, func(t *testing.T) {
			row.container.ImageID, row.container.ContainerID = "sha256:1", "containerd://1"
			pod := &corev1.Pod{Status: corev1.PodStatus{
				Phase: corev1.PodRunning, PodIP: "10.0.0.7", HostIP: "10.0.0.1", Conditions: row.conditions,
				PodIPs: []corev1.PodIP{{IP: "10.0.0.7"}}, ContainerStatuses: []corev1.ContainerStatus{row.container},
			}}
			if row.init {
				pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses = pod.Status.ContainerStatuses, nil
			}
			before := pod.DeepCopy()
			if _, err := onlyStatus(pod); err != nil {
				t.Fatal(err)
			}
			if is, was := observe.PodProblem(pod), observe.PodProblem(before); is != was {
				t.Errorf("its problem is %q, and was %q", is, was)
			}
			if is, was := observe.Unready(pod), observe.Unready(before); !is.Equal(was) {
				t.Errorf("it is unready since %v, and was since %v", is, was)
			}
			if pod.Status.PodIP != before.Status.PodIP || pod.Status.Phase != before.Status.Phase {
				t.Errorf("of where it is the cache keeps %+v", pod.Status)
			}
			if pod.Status.HostIP != "" || pod.Status.PodIPs != nil {
				t.Errorf("the cache keeps %+v", pod.Status)
			}
		})
	}
}
