package controllers_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// What comes of a managed Redis, on one operator.
func TestAManagedRedis(t *testing.T) {
	t.Parallel()
	op := sharedOperator(t)
	for name, test := range map[string]func(*testing.T, *world, *operator){
		"every reason":                           managedReasons,
		"its password":                           managedPassword,
		"its volume grows and never shrinks":     managedVolume,
		"it rolls for its configuration only":    managedRolling,
		"its pod is restricted":                  managedPod,
		"the store is switched to it and back":   switchingStores,
		"a switch that fails leaves the old one": switchingInVain,
		"a name is taken":                        managedNames,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newWorld(t), op)
		})
	}
}

func managed(b *v1alpha1.WechatBot) {
	b.Spec.Session = v1alpha1.Session{Type: v1alpha1.SessionRedis, Redis: &v1alpha1.Redis{Managed: &v1alpha1.ManagedRedis{}}}
}

var managedChildren = []string{
	"ConfigMap/winter-config", "ConfigMap/winter-redis", "Deployment/winter", "Ingress/winter", "NetworkPolicy/winter-redis",
	"Secret/winter-redis", "Service/winter", "Service/winter-redis", "ServiceAccount/winter", "StatefulSet/winter-redis",
}

func (w *world) statefulSet() *appsv1.StatefulSet {
	w.t.Helper()
	s := named(w, new(appsv1.StatefulSet), w.bot.Name+"-redis")
	eventually(w.t, func() error { return admin.Get(w.t.Context(), client.ObjectKeyFromObject(s), s) })
	return s
}

// claim does what a StatefulSet's controller would: it makes the claim, if there is none.
func (w *world) claim() *corev1.PersistentVolumeClaim {
	w.t.Helper()
	s := w.statefulSet()
	template := s.Spec.VolumeClaimTemplates[0]
	claim := named(w, new(corev1.PersistentVolumeClaim), "data-"+s.Name+"-0")
	claim.Labels, claim.Spec = template.Labels, template.Spec
	if err := client.IgnoreAlreadyExists(admin.Create(w.t.Context(), claim)); err != nil {
		w.t.Fatal(err)
	}
	w.get(claim)
	return claim
}

// redisRuns does what the StatefulSet's controller, the volume's and the nodes would.
func (w *world) redisRuns() {
	w.t.Helper()
	claim := w.claim()
	claim.Status.Phase = corev1.ClaimBound
	if err := admin.Status().Update(w.t.Context(), claim); err != nil {
		w.t.Fatal(err)
	}
	eventually(w.t, func() error {
		s := w.statefulSet()
		s.Status = appsv1.StatefulSetStatus{ObservedGeneration: s.Generation, Replicas: 1, ReadyReplicas: 1, UpdatedReplicas: 1}
		return admin.Status().Update(w.t.Context(), s)
	})
}

// redisRestarts lets the Redis run as its StatefulSet says by now, until the bot is ready.
func (w *world) redisRestarts() {
	w.t.Helper()
	eventually(w.t, func() error {
		w.redisRuns()
		w.get(w.bot)
		ready := meta.FindStatusCondition(w.bot.Status.Conditions, v1alpha1.ConditionReady)
		return unless(ready != nil && ready.Status == isTrue && ready.ObservedGeneration == w.bot.Generation, ready)
	})
}

// pod makes a pod of a component.
func (w *world) pod(name, component string, status corev1.PodStatus) *corev1.Pod {
	w.t.Helper()
	pod := named(w, &corev1.Pod{}, name)
	pod.Labels = naming.Labels(w.bot, component)
	pod.Spec.Containers = []corev1.Container{{Name: component, Image: "nowhere/image", SecurityContext: &corev1.SecurityContext{
		AllowPrivilegeEscalation: new(false), RunAsNonRoot: new(true), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}}}
	if err := admin.Create(w.t.Context(), pod); err != nil {
		w.t.Fatal(err)
	}
	pod.Status = status
	if err := admin.Status().Update(w.t.Context(), pod); err != nil {
		w.t.Fatal(err)
	}
	return pod
}

// expectMessage waits until a condition's message has all the parts.
func (w *world) expectMessage(condition string, status metav1.ConditionStatus, reason string, parts ...string) (message string) {
	w.t.Helper()
	eventually(w.t, func() error {
		message = w.expect(condition, status, reason)
		for _, part := range parts {
			if !strings.Contains(message, part) {
				return fmt.Errorf("%q does not say %q", message, part)
			}
		}
		return nil
	})
	return message
}

func managedReasons(t *testing.T, w *world, _ *operator) {
	const condition = v1alpha1.ConditionSessionStoreReady
	w.create(managed)
	w.expectMessage(condition, isFalse, v1alpha1.ReasonRedisProvisioning, "waits for its PersistentVolumeClaim data-winter-redis-0")
	w.expect(v1alpha1.ConditionReady, isFalse, v1alpha1.ReasonRedisProvisioning)
	w.expectEvent(corev1.EventTypeNormal, v1alpha1.ReasonRedisProvisioning)
	claim := w.claim()
	w.expectMessage(condition, isFalse, v1alpha1.ReasonRedisProvisioning, "has no StorageClass", "managed.storageClassName")
	claim.Status.Phase = corev1.ClaimBound
	if err := admin.Status().Update(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	w.expectMessage(condition, isFalse, v1alpha1.ReasonRedisProvisioning, "waiting for the pod winter-redis-0")
	pod := w.pod("winter-redis-0", naming.Redis, corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
		Name: "redis", Image: "nowhere/image", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull"}},
	}}})
	w.expectMessage(condition, isFalse, v1alpha1.ReasonRedisProvisioning, "ImagePullBackOff", "nowhere/image", "pod/winter-redis-0")
	if err := admin.Delete(t.Context(), pod, client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	w.redisRuns()
	w.expect(condition, isUnknown, v1alpha1.ReasonStorePending)

	// The servers run, and say for a minute that they cannot serve.
	d := w.deployment()
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: 1, UnavailableReplicas: 1}
	if err := admin.Status().Update(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	server := w.pod("winter-abcde", naming.Server, corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
		Name: "server", Started: new(true), State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(time.Now().Add(-time.Minute))}},
	}}})
	w.expectMessage(condition, isFalse, v1alpha1.ReasonRedisUnreachable, "Service winter-redis", "kubectl logs deploy/winter")
	w.expectEvent(corev1.EventTypeWarning, v1alpha1.ReasonRedisUnreachable)
	if err := admin.Delete(t.Context(), server, client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	w.serve()
	w.expectMessage(condition, isTrue, v1alpha1.ReasonStoreReady, "the managed Redis")
	w.get(w.bot)
	if w.bot.Status.SessionStore != v1alpha1.StoreManagedRedis {
		t.Errorf("the status has the session store %q", w.bot.Status.SessionStore)
	}
	if got := w.owned(); !slices.Equal(got, managedChildren) {
		t.Errorf("children are %v", got)
	}

	s := w.statefulSet()
	s.Status.ReadyReplicas = 0
	if err := admin.Status().Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	w.expect(v1alpha1.ConditionReady, isFalse, v1alpha1.ReasonRedisProvisioning)
	w.redisRuns()
	w.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonServing)
}

func managedPassword(t *testing.T, w *world, op *operator) {
	w.create(managed)
	w.redisRuns()
	w.serve()
	// A pod whose ServiceAccount is not there is not admitted, and its StatefulSet waits before it tries again.
	writes := op.calls.writes(w.namespace)
	first := func(what string) int {
		return slices.IndexFunc(writes, func(c call) bool { return strings.Contains(c.path, "/"+what+"/") })
	}
	if account, set := first("serviceaccounts"), first("statefulsets"); account < 0 || set < account {
		t.Errorf("the ServiceAccount was write %d, the StatefulSet %d", account, set)
	}
	secret := named(w, new(corev1.Secret), "winter-redis")
	w.get(secret)
	password := string(secret.Data["password"])
	if len(password) < 26 || string(secret.Data["auth.conf"]) != "requirepass "+password+"\n" || !metav1.IsControlledBy(secret, w.bot) {
		t.Errorf("the Secret has keys of %d and %d bytes and belongs to %v", len(password), len(secret.Data["auth.conf"]), secret.OwnerReferences)
	}
	for _, o := range []client.Object{w.statefulSet(), w.deployment(), named(w, new(corev1.ConfigMap), "winter-redis"), w.bot} {
		w.get(o)
		if text := fmt.Sprintf("%+v", o); strings.Contains(text, password) {
			t.Errorf("the password is in %T", o)
		}
	}
	// A password of one's own is kept.
	own := map[string]string{"password": "mine", "auth.conf": "requirepass mine\n"}
	w.secret("winter-redis", own)
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Limits.Questions = 5 })
	w.caughtUp()
	w.get(secret)
	if string(secret.Data["password"]) != "mine" {
		t.Error("a password was overwritten")
	}
	w.secret("winter-redis", map[string]string{"auth.conf": "requirepass mine\n"})
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Limits.Questions = 6 })
	w.expectMessage(v1alpha1.ConditionSecretsResolved, isFalse, v1alpha1.ReasonSecretKeyMissing, `"winter-redis"`, "delete the Secret")
	// One that is gone is made again, and is another.
	if err := admin.Delete(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { return admin.Get(t.Context(), client.ObjectKeyFromObject(secret), secret) })
	if again := string(secret.Data["password"]); again == password || len(again) < 26 {
		t.Error("the new password is the old one")
	}
	w.redisRestarts() // with it
	if n := op.calls.matching(http.MethodPost, w.namespace, "/secrets"); n != 2 {
		t.Errorf("%d Secrets were made", n)
	}
}

func managedVolume(t *testing.T, w *world, op *operator) {
	class := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}, Provisioner: "example.com/disk"}
	if err := admin.Create(t.Context(), class); err != nil {
		t.Fatal(err)
	}
	w.create(managed, func(b *v1alpha1.WechatBot) { b.Spec.Session.Redis.Managed.StorageClassName = w.namespace })
	w.claim()
	w.expectMessage(v1alpha1.ConditionSessionStoreReady, isFalse, v1alpha1.ReasonRedisProvisioning, "StorageClass \""+w.namespace+`"`, "kubectl describe pvc")
	w.redisRuns()
	w.serve()
	size := func(s string) func(*v1alpha1.WechatBotSpec) {
		return func(spec *v1alpha1.WechatBotSpec) { spec.Session.Redis.Managed.Storage = resource.MustParse(s) }
	}
	w.edit(size("3Gi"))
	w.expectMessage(v1alpha1.ConditionStalled, isTrue, v1alpha1.ReasonInvalidSpec, "PersistentVolumeClaim data-winter-redis-0",
		`StorageClass "`+w.namespace+`" does not allow it`, "set it back to 1Gi", "meanwhile 1/1 replicas serve")
	w.expectEvent(corev1.EventTypeWarning, v1alpha1.ReasonInvalidSpec)
	w.edit(size("512Mi"))
	w.expectMessage(v1alpha1.ConditionStalled, isTrue, v1alpha1.ReasonInvalidSpec, "spec.session.redis.managed.storage: 512Mi", "set it to 1Gi or more")
	w.edit(size("1Gi"))
	w.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonServing)

	w.patch(class, func() { class.AllowVolumeExpansion = new(true) })
	before := w.statefulSet()
	w.edit(size("2Gi"))
	claim := w.claim()
	eventually(t, func() error {
		w.get(claim)
		return unless(claim.Spec.Resources.Requests.Storage().String() == "2Gi", claim.Spec.Resources)
	})
	w.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonServing)
	if diff := cmp.Diff(before.Spec, w.statefulSet().Spec); diff != "" {
		t.Errorf("the StatefulSet changed:\n%s", diff)
	}
	w.edit(size("1Gi"))
	w.expectMessage(v1alpha1.ConditionStalled, isTrue, v1alpha1.ReasonInvalidSpec, "set it to 2Gi or more")
	if n := op.calls.matching(http.MethodPost, w.namespace, "/persistentvolumeclaims"); n > 0 {
		t.Errorf("%d claims were made", n)
	}
}

func managedRolling(t *testing.T, w *world, _ *operator) {
	w.create(managed)
	w.redisRuns()
	w.serve()
	config := named(w, new(corev1.ConfigMap), "winter-redis")
	for _, step := range []struct {
		what  string
		edit  func(*v1alpha1.WechatBotSpec)
		rolls bool
		holds string
	}{
		{"limits of questions", func(s *v1alpha1.WechatBotSpec) { s.Limits.Questions = 5 }, false, "maxmemory 201326592"},
		{"replicas", func(s *v1alpha1.WechatBotSpec) { s.Replicas = new(int32(3)) }, false, ""},
		{"deletePVC", func(s *v1alpha1.WechatBotSpec) { s.Session.Redis.Managed.DeletePVC = true }, false, ""},
		{"memory", func(s *v1alpha1.WechatBotSpec) {
			s.Session.Redis.Managed.Resources = &v1alpha1.Resources{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")}}
		}, true, "maxmemory 805306368"},
		{"no memory limit", func(s *v1alpha1.WechatBotSpec) { s.Session.Redis.Managed.Resources = &v1alpha1.Resources{} }, true, "noeviction"},
		{"image", func(s *v1alpha1.WechatBotSpec) { s.Session.Redis.Managed.Image = "example.com/redis:7" }, true, ""},
	} {
		before := w.statefulSet()
		w.edit(step.edit)
		w.caughtUp()
		after := w.statefulSet()
		if rolled := !cmp.Equal(before.Spec.Template, after.Spec.Template); rolled != step.rolls {
			t.Errorf("a change of %s rolls the Redis: %v, want %v", step.what, rolled, step.rolls)
		}
		w.get(config)
		says(t, config.Data["redis.conf"], step.holds)
	}
	if conf := config.Data["redis.conf"]; strings.Contains(conf, "maxmemory ") {
		t.Errorf("without a limit there is one in %s", conf)
	}
	if p := w.statefulSet().Spec.PersistentVolumeClaimRetentionPolicy.WhenDeleted; p != appsv1.DeletePersistentVolumeClaimRetentionPolicyType {
		t.Errorf("the volume is to be %sed", p)
	}
}

// managedPod creates a pod as the StatefulSet's controller would, in a namespace that enforces the restricted standard.
func managedPod(t *testing.T, w *world, _ *operator) {
	w.create(managed)
	w.caughtUp()
	s := w.statefulSet()
	pod := named(w, &corev1.Pod{ObjectMeta: s.Spec.Template.ObjectMeta, Spec: s.Spec.Template.Spec}, "winter-redis-0")
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: "data", VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data-winter-redis-0"},
	}})
	if err := admin.Create(t.Context(), pod, client.DryRunAll); err != nil {
		t.Errorf("the pod is refused: %v", err)
	}
	if pod.Spec.AutomountServiceAccountToken == nil || *pod.Spec.AutomountServiceAccountToken {
		t.Error("the pod gets a token")
	}
	policy := named(w, new(networkingv1.NetworkPolicy), "winter-redis")
	w.get(policy)
	from := policy.Spec.Ingress[0].From
	if len(policy.Spec.Ingress) != 1 || len(from) != 1 || from[0].NamespaceSelector != nil || from[0].IPBlock != nil ||
		!cmp.Equal(from[0].PodSelector.MatchLabels, naming.Selector(w.bot)) || len(policy.Spec.Egress) > 0 || len(policy.Spec.PolicyTypes) != 2 {
		t.Errorf("the network policy is %+v", policy.Spec)
	}
}

func managedNames(t *testing.T, w *world, _ *operator) {
	// One that is another controller's is not taken.
	w.secret("winter-redis", map[string]string{"password": "somebody's", "auth.conf": "requirepass somebody's\n"})
	secret := named(w, new(corev1.Secret), "winter-redis")
	owner := metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "theirs", UID: "1", Controller: new(true)}
	w.patch(secret, func() { secret.OwnerReferences = []metav1.OwnerReference{owner} })
	w.create(managed)
	w.expectMessage(v1alpha1.ConditionStalled, isTrue, v1alpha1.ReasonNameConflict, "secret/winter-redis")
	// One's own is: it is used and never written.
	w.patch(secret, func() { secret.OwnerReferences = nil })
	w.claim()
	w.reach()
	w.redisRestarts()
	w.get(secret)
	if string(secret.Data["password"]) != "somebody's" || len(secret.OwnerReferences) > 0 {
		t.Errorf("the user's Secret was written: %v", secret.ObjectMeta)
	}
	// Another password restarts Redis, which reads it when it starts.
	before := w.statefulSet().Generation
	w.secret("winter-redis", map[string]string{"password": "another", "auth.conf": "requirepass another\n"})
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Limits.Questions = 5 }) // nothing tells of a Secret's change but a look
	eventually(t, func() error {
		return unless(w.statefulSet().Generation > before, "the Redis is not restarted")
	})
	if text := fmt.Sprintf("%+v", w.statefulSet()); strings.Contains(text, "another") {
		t.Error("the password is in the StatefulSet")
	}
}

// Another release changes the image of the servers, and no Redis; a restart writes nothing.
func TestAManagedRedisOverAnUpgrade(t *testing.T) {
	w := newWorld(t)
	old := startOperator(t, quick())
	w.create(managed)
	w.redisRuns()
	w.serve()
	old.stop()
	before := w.statefulSet()
	again := startOperator(t, quick())
	for pass := range 2 {
		w.patch(w.bot, func() { w.bot.Annotations = map[string]string{"example.com/look": strconv.Itoa(pass)} })
		eventually(t, func() error {
			return unless(again.calls.matching(http.MethodGet, w.namespace, "/secrets/winter-redis") > pass, "no pass yet")
		})
	}
	again.stop()
	if writes := again.calls.writes(w.namespace); len(writes) > 0 {
		t.Errorf("a restart writes %v", writes)
	}
	next := quick()
	next.Operator = desired.Operator{Image: "registry.example.com/wechatbot-operator:v0.2.0"}
	startOperator(t, next)
	eventually(t, func() error {
		return unless(w.deployment().Spec.Template.Spec.Containers[0].Image == next.Operator.Image, "the old image")
	})
	if diff := cmp.Diff(before.Spec, w.statefulSet().Spec); diff != "" {
		t.Errorf("the Redis changed:\n%s", diff)
	}
	w.roll()
	w.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonServing)
}

// Where nobody wants managed Redis, the right to make Secrets is left out; a bot that asks for one says so.
func TestTheRightToMakeSecretsIsMissing(t *testing.T) {
	w := newWorld(t)
	binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "wechatbot-manager-redis"}}
	w.get(binding)
	if err := admin.Delete(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	restore := sync.OnceFunc(func() {
		binding.ResourceVersion, binding.UID = "", ""
		if err := admin.Create(context.Background(), binding); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(restore)
	startOperator(t, quick())
	w.create(managed)
	says(t, w.expect(v1alpha1.ConditionReady, isFalse, v1alpha1.ReasonApplyFailed), "Secret winter-redis", "cannot create")
	if err := admin.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "winter-redis"}, new(corev1.Secret)); !apierrors.IsNotFound(err) {
		t.Errorf("the Secret is there: %v", err)
	}
	restore()
	w.redisRuns()
	w.serve()
}
