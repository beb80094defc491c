package observe

import (
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPodProblem(t *testing.T) {
	waiting := func(reason string) corev1.ContainerState {
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "back-off 40s for pod 1234"}}
	}
	ended := &corev1.ContainerStateTerminated{Reason: "OOMKilled"}
	for name, c := range map[string]struct {
		status corev1.PodStatus
		want   string
	}{
		"starting":          {corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{State: waiting("ContainerCreating")}}}, ""},
		"ready":             {corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}, ""},
		"no node":           {corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Reason: "Unschedulable"}}}, "Unschedulable: no node takes the pod"},
		"scheduler fails":   {corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Reason: corev1.PodReasonSchedulerError, Message: "binding 1234"}}}, "SchedulerError: the scheduler fails to place the pod"},
		"no room":           {corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Reason: "Unschedulable", Message: "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No victims."}}}, "Unschedulable: no node takes the pod: 0/1 nodes are available: 1 Insufficient cpu"},
		"last words":        {corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "server", RestartCount: 3, LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Message: "starting\nserver: reply.deadlin: unknown field\n", ExitCode: 1}}}}}, "CrashLoopBackOff: container server ends by itself: server: reply.deadlin: unknown field"},
		"words with a time": {corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "server", RestartCount: 3, LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Message: `{"ts":"2026","level":"error","msg":"Stopped","error":"no store"}`}}}}}, "CrashLoopBackOff: container server ends by itself: Stopped: no store"},
		"no words":          {corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "server", RestartCount: 3, LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 137}}}}}, "CrashLoopBackOff: container server ends by itself (exit code 137)"},
		"a sidecar's words": {corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "proxy", RestartCount: 3, LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Message: "1234"}}}}}, "CrashLoopBackOff: container proxy ends by itself"},
		"pulling":           {corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "server", Image: "x", State: waiting("ErrImagePull")}}}, "ImagePullBackOff: the image x of container server cannot be pulled"},
		"backing off":       {corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "server", Image: "x", State: waiting("ImagePullBackOff")}}}, "ImagePullBackOff: the image x of container server cannot be pulled"},
		"bad config":        {corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "server", State: waiting("CreateContainerConfigError")}}}, "CreateContainerConfigError"},
		"crashing":          {corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "server", RestartCount: 3, State: waiting("CrashLoopBackOff")}}}, "CrashLoopBackOff: container server ends by itself"},
		"running again":     {corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "server", RestartCount: 3, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}}, "CrashLoopBackOff"},
		"out of memory":     {corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "server", RestartCount: 1, LastTerminationState: corev1.ContainerState{Terminated: ended}}}}, "OOMKilled"},
		"init, first end":   {corev1.PodStatus{InitContainerStatuses: []corev1.ContainerStatus{{Name: "init", State: corev1.ContainerState{Terminated: ended}}}}, "OOMKilled: container init"},
		"gated":             {corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonSchedulingGated}}}, "SchedulingGated: "},
		"evicted":           {corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted", ContainerStatuses: []corev1.ContainerStatus{{Name: "server", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 137}}}}}, ""},
		"evicted, unplaced": {corev1.PodStatus{Phase: corev1.PodFailed, Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Reason: "Unschedulable"}}}, ""},
		"ready container":   {corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Ready: true, RestartCount: 7}}}, ""},
	} {
		got := PodProblem(&corev1.Pod{Status: c.status})
		if !strings.HasPrefix(got, c.want) || c.want == "" && got != "" || strings.Contains(got, "1234") {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	leaving := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: new(metav1.Now())}, Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{RestartCount: 1}}}}
	if got := PodProblem(leaving); got != "" {
		t.Errorf("a pod that ends has the problem %q", got)
	}
}

func TestASecretIsReadAsTheServerReadsIt(t *testing.T) {
	secret := func(content string) *corev1.Secret {
		return &corev1.Secret{Data: map[string][]byte{"k": []byte(content)}}
	}
	ref := func(file string) desired.SecretRef {
		return desired.SecretRef{SecretKeyRef: v1alpha1.SecretKeyRef{Name: "s", Key: "k"}, File: file}
	}
	for name, c := range map[string]struct {
		secret *corev1.Secret
		file   string
		reason string
	}{
		"a token":                       {secret("wintertoken"), desired.FileToken, ""},
		"a newline at the end":          {secret("wintertoken\r\n"), desired.FileToken, ""},
		"no Secret":                     {nil, desired.FileToken, v1alpha1.ReasonSecretNotFound},
		"no key":                        {&corev1.Secret{}, desired.FileToken, v1alpha1.ReasonSecretKeyMissing},
		"an empty one":                  {secret("\n"), desired.FileToken, v1alpha1.ReasonSecretMalformed},
		"a long token":                  {secret(strings.Repeat("a", 33)), desired.FileToken, v1alpha1.ReasonSecretMalformed},
		"a key with a space":            {secret("app key"), desired.FileDifyAPIKey, v1alpha1.ReasonSecretMalformed},
		"an AES key":                    {secret(strings.Repeat("a", 43)), desired.FileEncodingAESKey, ""},
		"a short AES key":               {secret("a"), desired.FileEncodingAESKey, v1alpha1.ReasonSecretMalformed},
		"an AppSecret with a space":     {secret("a b"), desired.FileAppSecret, v1alpha1.ReasonSecretMalformed},
		"an AppSecret":                  {secret("0f1e2d3c4b5a69788796a5b4c3d2e1f0\n"), desired.FileAppSecret, ""},
		"headers":                       {secret("Authorization: Bearer x\nX-Scope-OrgID: bots\n"), desired.FileTracingHeaders, ""},
		"a token without its header":    {secret("Bearer x"), desired.FileTracingHeaders, v1alpha1.ReasonSecretMalformed},
		"a CA":                          {secret("no PEM"), desired.FileRedisCA, v1alpha1.ReasonSecretMalformed},
		"Dify's CA":                     {secret("no PEM"), desired.FileDifyCA, v1alpha1.ReasonSecretMalformed},
		"a password of any kind":        {secret("ä ö"), desired.FileRedisPassword, ""},
		"a password beyond all measure": {secret(strings.Repeat("a", serverconfig.MaxSecretBytes+1)), desired.FileRedisPassword, v1alpha1.ReasonSecretMalformed},
	} {
		_, problem := resolve(c.secret, ref(c.file))
		if problem == nil && c.reason != "" || problem != nil && problem.Reason != c.reason {
			t.Errorf("%s: got %+v, want %q", name, problem, c.reason)
		}
	}
}

func TestNewestWarning(t *testing.T) {
	at := func(second int64, reason, message string) corev1.Event {
		return corev1.Event{LastTimestamp: metav1.Unix(second, 0), Reason: reason, Message: message}
	}
	for want, events := range map[string][]corev1.Event{
		"": nil,
		`FailedCreate: pods "winter-redis-0" is forbidden: exceeded quota: small`: {
			at(1, "Other", "x"), at(2, "FailedCreate", `create Pod winter-redis-0 in StatefulSet winter-redis failed error: pods "winter-redis-0" is forbidden: exceeded quota: small`),
		},
		`ProvisioningFailed: StorageClass "nosuch" does not exist`: {at(1, "ProvisioningFailed", `storageclass.storage.k8s.io "nosuch" not found`)},
	} {
		if got := newestWarning(events); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestLeaving(t *testing.T) {
	told := time.Unix(1000, 0)
	pod := func(hash string, deleted bool) corev1.Pod {
		p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"pod-template-hash": hash}}}
		if deleted {
			p.DeletionTimestamp, p.DeletionGracePeriodSeconds = new(metav1.NewTime(told.Add(345*time.Second))), new(int64(345))
		}
		return p
	}
	for name, c := range map[string]struct {
		pods  []corev1.Pod
		store v1alpha1.SessionStore
		want  time.Time
	}{
		"one server":           {[]corev1.Pod{pod("a", false)}, v1alpha1.StoreExternalRedis, time.Time{}},
		"one of before leaves": {[]corev1.Pod{pod("a", false), pod("b", true)}, v1alpha1.StoreExternalRedis, told.Add(5 * time.Second)},
		"it may have sessions": {[]corev1.Pod{pod("a", false), pod("b", true)}, v1alpha1.StoreConfigMap, told.Add(15 * time.Second)},
		"fewer are wanted":     {[]corev1.Pod{pod("a", false), pod("a", true)}, v1alpha1.StoreExternalRedis, time.Time{}},
		"all are told to stop": {[]corev1.Pod{pod("a", true)}, v1alpha1.StoreExternalRedis, time.Time{}},
		"both still run":       {[]corev1.Pod{pod("a", false), pod("b", false)}, v1alpha1.StoreExternalRedis, time.Time{}},
	} {
		if got := leaving(c.pods, c.store); !got.Equal(c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestOwned_WithoutSessionStores(t *testing.T) {
	for component, want := range map[string][]string{
		naming.Server: {"winter server"}, naming.Redis: {"winter redis"}, naming.Sessions: nil,
	} {
		o := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{naming.LabelInstance: "winter", naming.LabelComponent: component}}}
		if got := Owned(o); !slices.Equal(got, want) {
			t.Errorf("%s is indexed by %q, want %q", component, got, want)
		}
	}
	if got := Owned(new(corev1.ConfigMap)); got != nil {
		t.Errorf("an object of no bot is indexed by %q", got)
	}
}
