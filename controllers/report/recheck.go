package report

import (
	"hash/fnv"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/observe"
)

// Waits are how long it takes until something that no watch reports is looked at again.
type Waits struct {
	// Secret: a Secret or certificate that is missing or cannot be used.
	Secret time.Duration
	// Cluster: an object in the way, or an API that is not there.
	Cluster time.Duration
	// ResyncPeriod: a bot that is as it should be: Secrets that were rotated or deleted. Bots are spread over its last quarter.
	ResyncPeriod time.Duration
}

// DefaultWaits are what the operator keeps to.
func DefaultWaits() Waits {
	return Waits{Secret: 15 * time.Second, Cluster: time.Minute, ResyncPeriod: time.Minute}
}

// certificateWait looks less often at what has been missing for long: an issuer takes seconds, a person takes days.
func certificateWait(waits Waits, since time.Duration) time.Duration {
	if since > 20*waits.Secret {
		return max(waits.Cluster, waits.Secret)
	}
	return waits.Secret
}

// storeWait looks at servers whose store is silent when that is certain, and at those that end with a store of before.
func storeWait(bot *v1alpha1.WechatBot, state *observe.State) (time.Duration, bool) {
	if state.Stopping && state.Children.HasOldStore(bot) {
		return stoppingWait, true
	}
	silent := state.Now.Sub(state.Unready)
	return storePatience - silent, !state.Unready.IsZero() && silent < storePatience
}

// spread is a part of a duration, another for each bot: after a start all would be looked at again in the same second.
func spread(bot *v1alpha1.WechatBot, over time.Duration) time.Duration {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(bot.UID))
	return over * time.Duration(hash.Sum32()%1000) / 1000
}

// stoppingWait is how often it is looked whether servers have ended: they take as long as their last answer does.
const stoppingWait = 15 * time.Second

// Recheck is when to look at a bot again without being told of a change. What the caches watch needs none.
func Recheck(waits Waits, bot *v1alpha1.WechatBot, status *v1alpha1.WechatBotStatus, state *observe.State) time.Duration {
	wait := waits.ResyncPeriod - spread(bot, waits.ResyncPeriod/4)
	sooner := func(d time.Duration) { wait = min(wait, max(d, time.Second)) }
	if state == nil {
		return waits.Cluster
	}
	if d, ok := storeWait(bot, state); ok {
		sooner(d)
	}
	if state.StartLook.After(state.Now) {
		sooner(state.StartLook.Sub(state.Now))
	}
	if state.Leaving.After(state.Now) {
		sooner(state.Leaving.Sub(state.Now))
	}
	if r := state.Children.Redis; r != nil && r.Status.ReadyReplicas == 0 {
		wait = min(wait, waits.Secret) // its controllers say in events why it is not there
	}
	if state.RolloutWaits {
		wait = min(wait, waits.Cluster) // or sooner: it is woken
	}
	if len(state.Secrets) > 0 {
		wait = min(wait, waits.Secret)
	}
	if c := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionCertificateReady); c != nil {
		if meta.IsStatusConditionTrue(status.Conditions, c.Type) {
			sooner(state.Certificate.Leaf.NotAfter.Sub(state.Now) + time.Second)
		} else {
			wait = min(wait, certificateWait(waits, state.Now.Sub(c.LastTransitionTime.Time)))
		}
	}
	if c := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionExposed); c != nil && c.Status != metav1.ConditionTrue {
		wait = min(wait, waits.Cluster)
	}
	if c := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReconciling); c != nil && c.Reason != v1alpha1.ReasonProgressing {
		wait = min(wait, waits.Cluster)
	}
	if meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionStalled) {
		wait = min(wait, waits.Cluster)
	}
	return wait
}
