// Package controllers makes running bots of WechatBots: it observes one, says what it should be, makes it so, and
// reports. What each step does is in the package of its name; here is only their order and what wakes them.
package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/apply"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
	"github.com/wechatbot/wechatbot-operator/controllers/observe"
	"github.com/wechatbot/wechatbot-operator/controllers/report"
)

// action of an event: what the operator was doing.
const action = "Reconcile"

// Reconciler reconciles WechatBots.
type Reconciler struct {
	client   client.Client
	observer *observe.Observer
	writer   *apply.Writer
	operator desired.Operator
	events   events.EventRecorder
	waits    report.Waits
	rollouts *rollouts
}

// Reconcile brings one bot a step nearer to what its spec says, and its status up to date.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	bot := new(v1alpha1.WechatBot)
	err := r.client.Get(ctx, req.NamespacedName, bot)
	switch {
	case apierrors.IsNotFound(err):
		r.observer.Forget(req.NamespacedName)
		r.rollouts.forget(req.NamespacedName)
		r.observer.Expectations.Forget(req.NamespacedName)
		return ctrl.Result{}, nil
	case err != nil:
		return ctrl.Result{}, fmt.Errorf("reading the bot: %w", err)
	case !bot.DeletionTimestamp.IsZero():
		return ctrl.Result{}, nil // owner references do the rest
	case bot.Spec.Suspend:
		return ctrl.Result{}, r.save(ctx, bot, report.Suspended(bot))
	}

	state, err := r.observer.Bot(ctx, bot)
	if errors.Is(err, observe.ErrNotYetKnown) {
		return ctrl.Result{RequeueAfter: startPatience}, nil
	}
	if err == nil {
		err = r.applyChildren(ctx, bot, state)
	}
	if report.IsNamespaceTerminating(err) {
		return ctrl.Result{}, nil
	}
	if err != nil && report.IsTransient(err) {
		return ctrl.Result{}, err
	}
	if err == nil {
		if wait := report.AwaitDify(bot, state); wait > 0 {
			return ctrl.Result{RequeueAfter: wait}, nil // or sooner, when there is an answer
		}
	}
	status := report.Status(bot, state, err)
	err = errors.Join(report.Retryable(err), r.save(ctx, bot, status))
	if err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: report.Recheck(r.waits, bot, &status, state)}, nil
}

func (r *Reconciler) applyChildren(ctx context.Context, bot *v1alpha1.WechatBot, state *observe.State) error {
	want, err := desired.All(bot, r.operator, state.Surroundings())
	if err != nil {
		return err
	}
	if want.RetainPods, err = r.rollouts.mustWait(ctx, bot, state, want); err != nil {
		return err
	}
	state.RolloutWaits = want.RetainPods
	return r.writer.All(ctx, bot, want, &state.Children)
}

// save writes the status if it says anything new: the only place that does. Conditions are one list to a merge patch,
// so it must not overwrite a newer one.
func (r *Reconciler) save(ctx context.Context, bot *v1alpha1.WechatBot, status v1alpha1.WechatBotStatus) error {
	if equality.Semantic.DeepEqual(bot.Status, status) {
		return nil
	}
	before := bot.DeepCopy()
	bot.Status = status
	err := r.client.Status().Patch(ctx, bot, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}),
		client.FieldOwner(naming.FieldOwner))
	if err != nil {
		return client.IgnoreNotFound(fmt.Errorf("writing the status: %w", err))
	}
	for _, e := range report.Events(&before.Status, &status) {
		r.events.Eventf(bot, nil, e.Type, e.Reason, action, "%s", e.Note)
		logEvent(ctx, e)
	}
	return nil
}

// logEvent has the operator's log tell what the event does: events are gone after an hour.
func logEvent(ctx context.Context, e report.Event) {
	log := ctrl.LoggerFrom(ctx)
	if e.Type == corev1.EventTypeNormal {
		log = log.V(1)
	}
	log.Info("The bot's condition has changed", "type", e.Type, "reason", e.Reason, "message", e.Note)
}

// startPatience is when a bot is looked at again of which nothing is known yet.
const startPatience = 250 * time.Millisecond

// reconciliationTimeout ends a reconcile whose API server hangs.
const reconciliationTimeout = time.Minute
