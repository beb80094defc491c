package report_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
	"github.com/wechatbot/wechatbot-operator/controllers/observe"
	"github.com/wechatbot/wechatbot-operator/controllers/report"
)

func managed(b *v1alpha1.WechatBot) {
	b.Spec.Session = v1alpha1.Session{Type: v1alpha1.SessionRedis, Redis: &v1alpha1.Redis{Managed: &v1alpha1.ManagedRedis{}}}
}

// running is the state of a bot whose managed Redis lacks nothing.
func running(change ...func(*observe.State)) *observe.State {
	return healthy(append([]func(*observe.State){func(s *observe.State) {
		s.Children.Redis = &appsv1.StatefulSet{
			ObjectMeta: metav1.ObjectMeta{Name: "winter-redis", Generation: 2},
			Status:     appsv1.StatefulSetStatus{ObservedGeneration: 2, ReadyReplicas: 1, UpdatedReplicas: 1},
		}
		s.Children.RedisClaim = &corev1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{Name: "data-winter-redis-0"}, Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound},
		}
	}}, change...)...)
}

func silent(s *observe.State) {
	s.Children.Deployment.Status = appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 1}
	s.Unready = now.Add(-15 * time.Second)
}

func TestAManagedRedisSaysWhatItLacks(t *testing.T) {
	for name, c := range map[string]struct {
		change       func(*observe.State)
		reason, part string
	}{
		"nothing":           {func(*observe.State) {}, v1alpha1.ReasonStoreReady, "reach the managed Redis"},
		"its StatefulSet":   {func(s *observe.State) { s.Children.Redis = nil }, v1alpha1.ReasonRedisProvisioning, "StatefulSet winter-redis"},
		"its claim":         {func(s *observe.State) { s.Children.RedisClaim = nil }, v1alpha1.ReasonRedisProvisioning, "data-winter-redis-0"},
		"a class":           {func(s *observe.State) { s.Children.RedisClaim.Status.Phase = "Pending" }, v1alpha1.ReasonRedisProvisioning, "no StorageClass"},
		"its pod":           {func(s *observe.State) { s.Children.Redis.Status.ReadyReplicas = 0 }, v1alpha1.ReasonRedisProvisioning, "waiting for the pod winter-redis-0"},
		"its new pod":       {func(s *observe.State) { s.Children.Redis.Status.UpdatedReplicas = 0 }, v1alpha1.ReasonRedisProvisioning, "waiting for the pod winter-redis-0"},
		"its new StatefulS": {func(s *observe.State) { s.Children.Redis.Generation = 3 }, v1alpha1.ReasonRedisProvisioning, "waiting for the pod"},
		"a volume": {func(s *observe.State) {
			s.Children.RedisClaim.Status.Phase, s.Children.RedisClaim.Spec.StorageClassName = "Pending", new("fast")
			s.RedisProblem = "Unschedulable: no node takes the pod"
		}, v1alpha1.ReasonRedisProvisioning, `StorageClass "fast" (kubectl describe pvc data-winter-redis-0)`},
		"a node": {func(s *observe.State) {
			s.Children.RedisClaim.Status.Phase, s.Children.Redis.Status.ReadyReplicas = "Pending", 0
			s.RedisProblem = "Unschedulable: no node takes the pod"
		}, v1alpha1.ReasonRedisProvisioning, "Unschedulable: no node takes the pod; the managed Redis waits"},
		"an image": {func(s *observe.State) {
			s.Children.Redis.Status.ReadyReplicas, s.RedisProblem = 0, "ImagePullBackOff: x"
		}, v1alpha1.ReasonRedisProvisioning, "ImagePullBackOff: x; the managed Redis waits (kubectl describe statefulset/winter-redis pvc/data-winter-redis-0 pod/winter-redis-0)"},
		"a way to it": {silent, v1alpha1.ReasonRedisUnreachable, "Service winter-redis"},
	} {
		t.Run(name, func(t *testing.T) {
			expect(t, winter(managed), running(c.change), v1alpha1.ConditionSessionStoreReady, c.reason, c.part)
		})
	}
	broken := running(func(s *observe.State) {
		s.Secrets = []observe.SecretProblem{{Reason: v1alpha1.ReasonSecretKeyMissing, Ref: desired.SecretRef{
			SecretKeyRef: v1alpha1.SecretKeyRef{Name: "winter-redis", Key: "password"}, Field: "session.redis.managed", Generated: true,
		}}}
	})
	expect(t, winter(managed), broken, v1alpha1.ConditionSecretsResolved, v1alpha1.ReasonSecretKeyMissing, "delete the Secret")
}

// Servers that have just started are given time to reach their Redis, and are looked at when it is over.
func TestServersAreSilentAfterAWhile(t *testing.T) {
	bot := winter(func(b *v1alpha1.WechatBot) { b.Spec.Session.Type = v1alpha1.SessionRedis })
	const condition = v1alpha1.ConditionSessionStoreReady
	expect(t, bot, healthy(silent), condition, v1alpha1.ReasonRedisUnreachable, "kubectl logs deploy/winter")
	young := healthy(silent, func(s *observe.State) { s.Unready = now.Add(-5 * time.Second) })
	expect(t, bot, young, condition, v1alpha1.ReasonStorePending, "")
	crashing := healthy(silent, func(s *observe.State) { s.PodProblem = "OOMKilled: x" })
	expect(t, bot, crashing, condition, v1alpha1.ReasonStorePending, "")
	status := report.Status(bot, young, nil)
	if got := report.Recheck(report.DefaultWaits(), bot, &status, young); got != 10*time.Second {
		t.Errorf("silent since %s: looked at again in %s, want 10 s", young.Unready, got)
	}
	stopping := healthy(func(s *observe.State) { s.Stopping = true }) // with ConfigMaps of before
	status = report.Status(bot, stopping, nil)
	if got := report.Recheck(report.DefaultWaits(), bot, &status, stopping); got != 15*time.Second {
		t.Errorf("servers of before are looked at again in %s", got)
	}
}

func TestASwitchOfStoresIsTold(t *testing.T) {
	external := func(b *v1alpha1.WechatBot) { b.Spec.Session.Type = v1alpha1.SessionRedis }
	maps := func(*v1alpha1.WechatBot) {}
	for name, c := range map[string]struct {
		from, to func(*v1alpha1.WechatBot)
		deletes  bool
		parts    []string
	}{
		"from ConfigMaps": {maps, managed, false, []string{"from ConfigMaps to the managed Redis", "are deleted", "set back before"}},
		"from a managed Redis": {managed, external, false, []string{
			"from the managed Redis to the external Redis", "stay on the PersistentVolumeClaim data-winter-redis-0",
		}},
		"from one whose volume goes": {managed, maps, true, []string{"from the managed Redis to ConfigMaps", "deleted with its volume"}},
		"from an external Redis":     {external, maps, false, []string{"from the external Redis to ConfigMaps", "until they expire"}},
	} {
		t.Run(name, func(t *testing.T) {
			bot := winter(c.from)
			bot.Status = report.Status(bot, running(), nil)
			state := running(func(s *observe.State) {
				s.Children.Deployment.Generation = 3
				if c.deletes {
					s.Children.Redis.Spec.PersistentVolumeClaimRetentionPolicy = &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{WhenDeleted: "Delete"}
				}
			})
			bot.Spec.Session = winter(c.to).Spec.Session
			for _, part := range append(c.parts, "not carried over") {
				expect(t, bot, state, v1alpha1.ConditionSessionStoreReady, v1alpha1.ReasonStoreSwitching, part)
			}
			after := report.Status(bot, state, nil)
			events := report.Events(&bot.Status, &after)
			if len(events) != 1 || events[0].Type != corev1.EventTypeWarning || events[0].Reason != v1alpha1.ReasonStoreSwitching {
				t.Errorf("the events are %v", events)
			}
			if after.SessionStore != bot.Status.SessionStore {
				t.Errorf("while servers of before serve, the store is %s", after.SessionStore)
			}
			bot.Status = after
			done := report.Status(bot, running(), nil)
			if diff := cmp.Diff(bot.Spec.Session.Store(), done.SessionStore); diff != "" || !strings.Contains(ready(done), "Serving") {
				t.Errorf("in the end: %s, %s", diff, ready(done))
			}
		})
	}
	bot := winter(maps)
	bot.Status = report.Status(bot, healthy(), nil)
	bot.Spec.Session = winter(managed).Spec.Session
	state := running(func(s *observe.State) { s.Children.Deployment.Generation, s.Children.RedisClaim = 3, nil })
	expect(t, bot, state, v1alpha1.ConditionSessionStoreReady, v1alpha1.ReasonStoreSwitching, "Now: the managed Redis waits for its PersistentVolumeClaim")
}
