package controllers

import (
	"container/list"
	"context"
	"fmt"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
	"github.com/wechatbot/wechatbot-operator/controllers/observe"
)

// rollouts has the bots of an operator that was upgraded roll in batches. What a user changes is never held back.
type rollouts struct {
	reader client.Reader // a cache
	atOnce int           // 0 is any number
	now    func() time.Time
	wake   func(context.Context, types.NamespacedName)

	mu      sync.Mutex
	begun   map[types.NamespacedName]time.Time // bots that were let through
	waiting queue
}

// indexRolling of Deployments in the cache is rollingNow for those whose pods are being replaced: of 10,000 bots few are,
// and each of them asks while an upgrade goes on.
const (
	indexRolling = "wechatbot.dev/rolling"
	rollingNow   = "true"
)

// rolling is the index' value of a Deployment.
func rolling(o client.Object) []string {
	if d, ok := o.(*appsv1.Deployment); ok && isRolling(d) {
		return []string{rollingNow}
	}
	return nil
}

// queue is bots in the order of their coming, each once.
type queue struct {
	order list.List // of types.NamespacedName
	place map[types.NamespacedName]*list.Element
}

func (q *queue) add(name types.NamespacedName) {
	if q.place == nil {
		q.place = map[types.NamespacedName]*list.Element{}
	}
	if q.place[name] == nil {
		q.place[name] = q.order.PushBack(name)
	}
}

func (q *queue) remove(name types.NamespacedName) {
	if at := q.place[name]; at != nil {
		q.order.Remove(at)
		delete(q.place, name)
	}
}

// first are those who wait longest, at most so many.
func (q *queue) first(most int) []types.NamespacedName {
	var all []types.NamespacedName
	for at := q.order.Front(); at != nil && len(all) < most; at = at.Next() {
		name, _ := at.Value.(types.NamespacedName) // nothing else is in there
		all = append(all, name)
	}
	return all
}

const (
	// writePatience is how long the write of a bot that was let through may take to be seen.
	writePatience = 5 * time.Second
	// redisPatience is how long the Redis of such a bot is waited for. Nothing says that a StatefulSet has given up.
	redisPatience = 5 * time.Minute
)

// mustWait reports whether the bot's pods, which an operator of another version or with other flags wants to replace, stay
// as they are for now. The bot is woken when it is its turn.
func (r *rollouts) mustWait(ctx context.Context, bot *v1alpha1.WechatBot, state *observe.State, want *desired.Children) (bool, error) {
	c := &state.Children
	if r.atOnce == 0 || c.Deployment == nil {
		return false, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	name := client.ObjectKeyFromObject(bot)
	isRolling := isRolling(c.Deployment)
	changes := differs(c.Deployment, want.Deployment.Annotations) ||
		c.Redis != nil && want.Redis != nil && differs(c.Redis, want.Redis.Annotations)
	if !changes || bot.Generation != bot.Status.ObservedGeneration || isRolling {
		r.waiting.remove(name)
		if isRolling {
			return false, nil
		}
		if since, ok := r.begun[name]; ok && !changes && r.now().Sub(since) < writePatience {
			r.begun[name] = r.now().Add(-writePatience) // what was written is seen; its Redis may still be away
		}
		return false, r.next(ctx)
	}
	running, err := r.running(ctx)
	if err != nil {
		return false, err
	}
	if running < r.atOnce {
		r.waiting.remove(name)
		r.begun[name] = r.now()
		return false, nil
	}
	r.waiting.add(name)
	return true, nil
}

// differs reports whether the pods of a child are not of the wanted template.
func differs(live client.Object, wanted map[string]string) bool {
	return live.GetAnnotations()[desired.AnnotationTemplate] != wanted[desired.AnnotationTemplate]
}

// next wakes those who wait longest, as many as there is room for.
func (r *rollouts) next(ctx context.Context) error {
	if r.waiting.order.Len() == 0 {
		return nil
	}
	running, err := r.running(ctx)
	if err != nil {
		return err
	}
	for _, one := range r.waiting.first(r.atOnce - running) {
		r.wake(ctx, one)
	}
	return nil
}

// forget drops a bot that is gone.
func (r *rollouts) forget(name types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.begun, name)
	r.waiting.remove(name)
}

// running counts the bots whose pods are being replaced, also those that were let through a moment ago.
func (r *rollouts) running(ctx context.Context) (int, error) {
	running := map[types.NamespacedName]bool{}
	var deployments appsv1.DeploymentList
	err := r.reader.List(ctx, &deployments, client.MatchingFields{indexRolling: rollingNow},
		client.MatchingLabels{naming.LabelComponent: naming.Server}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return 0, fmt.Errorf("listing the Deployments: %w", err)
	}
	for i := range deployments.Items {
		bot := client.ObjectKeyFromObject(&deployments.Items[i])
		err := r.reader.Get(ctx, bot, new(v1alpha1.WechatBot), client.UnsafeDisableDeepCopy)
		if client.IgnoreNotFound(err) != nil {
			return 0, fmt.Errorf("reading the bot of a Deployment: %w", err)
		}
		if err == nil {
			running[bot] = true
		}
	}
	for bot, since := range r.begun {
		passed := r.now().Sub(since)
		switch {
		case passed < writePatience: // the cache may not have the write yet
			running[bot] = true
		case passed > redisPatience:
			delete(r.begun, bot)
		default:
			away, err := r.redisAway(ctx, bot)
			if err != nil {
				return 0, err
			}
			if away {
				running[bot] = true
			} else if !running[bot] {
				delete(r.begun, bot)
			}
		}
	}
	return len(running), nil
}

// redisAway reports whether the bot has a managed Redis that is not ready.
func (r *rollouts) redisAway(ctx context.Context, bot types.NamespacedName) (bool, error) {
	of := &v1alpha1.WechatBot{ObjectMeta: metav1.ObjectMeta{Name: bot.Name}}
	redis := new(appsv1.StatefulSet)
	err := r.reader.Get(ctx, types.NamespacedName{Namespace: bot.Namespace, Name: naming.ManagedRedis(of)}, redis, client.UnsafeDisableDeepCopy)
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("reading the StatefulSet: %w", err)
	}
	return err == nil && (redis.Status.ObservedGeneration < redis.Generation || redis.Status.ReadyReplicas == 0), nil
}

// isRolling reports whether a Deployment's pods are being replaced, and have not been given up. Those of a paused one are not.
func isRolling(d *appsv1.Deployment) bool {
	if d.Spec.Paused {
		return false
	}
	for _, c := range d.Status.Conditions {
		if c.Type == appsv1.DeploymentProgressing && c.Reason == "ProgressDeadlineExceeded" && d.Status.ObservedGeneration >= d.Generation {
			return false
		}
	}
	replicas := int32(1)
	if d.Spec.Replicas != nil {
		replicas = *d.Spec.Replicas
	}
	return d.Status.ObservedGeneration < d.Generation || d.Status.UpdatedReplicas < replicas || d.Status.Replicas > d.Status.UpdatedReplicas
}
