package report

import (
	"fmt"
	"slices"
	"time"

	apps "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
	"github.com/wechatbot/wechatbot-operator/controllers/observe"
)

// storePatience is how long servers may run without a word of their store before it counts as unreachable: a first
// connection takes its time, and so does the readiness probe.
const storePatience = 15 * time.Second

// sessionStoreReady speaks of the store that the spec wants; while other servers still serve, of the change as well.
func sessionStoreReady(bot *v1alpha1.WechatBot, state *observe.State) *finding {
	f := storeReady(bot, state)
	if state.Servers.StoreError != "" && !isStopped(bot, state) && (f.status == metav1.ConditionTrue || f.reason == v1alpha1.ReasonRedisUnreachable) {
		f = storeSays(bot, state)
	}
	if !switching(bot, state) {
		return f
	}
	message := fmt.Sprintf("changing the session store from %s to %s: conversations and open questions are not carried over; %s",
		stores[bot.Status.SessionStore], stores[bot.Spec.Session.Store()], whatRemains(bot, state))
	if f.status != good("", "").status {
		message += ". Now: " + f.message
	}
	return bad(v1alpha1.ReasonStoreSwitching, "%s", message)
}

// switching tells whether servers with another store than the spec's serve still.
func switching(bot *v1alpha1.WechatBot, state *observe.State) bool {
	serves := bot.Status.SessionStore
	d := state.Children.Deployment
	return serves != "" && serves != bot.Spec.Session.Store() && (d == nil || !observe.RolledOut(d))
}

var stores = map[v1alpha1.SessionStore]string{
	v1alpha1.StoreConfigMap: "ConfigMaps", v1alpha1.StoreManagedRedis: "the managed Redis", v1alpha1.StoreExternalRedis: "the external Redis",
}

// whatRemains says what becomes of the conversations in the store of before.
func whatRemains(bot *v1alpha1.WechatBot, state *observe.State) string {
	switch bot.Status.SessionStore {
	case v1alpha1.StoreConfigMap:
		return "those in the ConfigMaps are deleted when the new servers serve, unless spec.session is set back before"
	case v1alpha1.StoreManagedRedis:
		if r := state.Children.Redis; r != nil && r.Spec.PersistentVolumeClaimRetentionPolicy != nil &&
			r.Spec.PersistentVolumeClaimRetentionPolicy.WhenDeleted == apps.DeletePersistentVolumeClaimRetentionPolicyType {
			return "those in the managed Redis are deleted with its volume when the new servers serve, unless spec.session is set back before"
		}
		return "those in the managed Redis stay on the PersistentVolumeClaim " + naming.RedisClaim(bot)
	case v1alpha1.StoreExternalRedis:
	}
	return "those in the external Redis stay there until they expire"
}

// storeReady: that a Redis answers only the servers know, who are not ready without it.
func storeReady(bot *v1alpha1.WechatBot, state *observe.State) *finding {
	store := bot.Spec.Session.Store()
	switch store {
	case v1alpha1.StoreConfigMap:
		maps := state.Children.Sessions[:]
		if slices.Contains(maps, nil) {
			return bad(v1alpha1.ReasonStorePending, "the ConfigMaps that keep the conversations are not all there yet")
		}
		return good(v1alpha1.ReasonStoreReady, "ConfigMaps %s to %s keep the conversations", maps[0].Name, maps[len(maps)-1].Name)
	case v1alpha1.StoreManagedRedis:
		if f := managedRedis(bot, state); f != nil {
			return f
		}
	case v1alpha1.StoreExternalRedis:
	}
	d := state.Children.Deployment
	if isStopped(bot, state) {
		return good(v1alpha1.ReasonStopped, "no webhook server runs that could say whether %s answers", stores[store])
	}
	silent := !state.Unready.IsZero() && state.Now.Sub(state.Unready) >= storePatience
	switch {
	case d != nil && d.Status.ReadyReplicas > 0:
		return good(v1alpha1.ReasonStoreReady, "the webhook servers reach %s", stores[store])
	case d == nil || state.PodProblem != "" || !silent && !(d.Status.Replicas > 0 && progressGivenUp(d)):
		return unknown(v1alpha1.ReasonStorePending, "no webhook server has yet said that %s answers", stores[store])
	case store == v1alpha1.StoreManagedRedis:
		return bad(v1alpha1.ReasonRedisUnreachable, "the managed Redis runs, but the webhook servers do not reach it: check that network "+
			"policies let them reach Service %s, and that the Redis was restarted after a change of its Secret (kubectl logs deploy/%s)",
			naming.ManagedRedis(bot), d.Name)
	}
	return bad(v1alpha1.ReasonRedisUnreachable, "the webhook servers run but are not ready, which means that the Redis of "+
		"spec.session.redis does not answer them: check its addresses, password and TLS (kubectl logs deploy/%s)", d.Name)
}

// managedRedis says what the managed Redis lacks; nil if nothing.
func managedRedis(bot *v1alpha1.WechatBot, state *observe.State) *finding {
	set, claim, name := state.Children.Redis, state.Children.RedisClaim, naming.ManagedRedis(bot)
	waiting := func(format string, args ...any) *finding {
		return bad(v1alpha1.ReasonRedisProvisioning, format, args...)
	}
	if state.RedisProblem != "" && set != nil && set.Status.ReadyReplicas == 0 {
		return waiting("%s; the managed Redis waits (kubectl describe statefulset/%s pvc/%s pod/%s-0)", state.RedisProblem, name, naming.RedisClaim(bot), name)
	}
	switch {
	case set == nil:
		return waiting("the StatefulSet %s of the managed Redis is not there yet", name)
	case claim == nil:
		return waiting("the managed Redis waits for its PersistentVolumeClaim %s", naming.RedisClaim(bot))
	case claim.Status.Phase != corev1.ClaimBound:
		class := "no StorageClass, as the cluster has no default: set spec.session.redis.managed.storageClassName"
		if c := claim.Spec.StorageClassName; c != nil && *c != "" {
			class = fmt.Sprintf("StorageClass %q", *c)
		}
		return waiting("the managed Redis waits for its volume: PersistentVolumeClaim %s has %s (kubectl describe pvc %s)",
			claim.Name, class, claim.Name)
	case set.Status.ReadyReplicas > 0 && set.Status.UpdatedReplicas > 0 && set.Status.ObservedGeneration >= set.Generation:
		return nil
	}
	return waiting("waiting for the pod %s-0 of the managed Redis", name)
}
