// Package doctor examines a bot: what the cluster and the bot's servers say, and what WeChat would meet at its URL. Each
// finding is ok, or wrong with what to do, or not known with the reason. It knows no cluster; the way to the URL is given.
package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/cmd/kubectl-wechatbot/inspect"
)

// Verdict is what a finding comes to.
type Verdict string

// The verdicts.
const (
	OK      Verdict = "ok"
	Wrong   Verdict = "wrong"
	Unknown Verdict = "?"
)

// Finding is what came of one check.
type Finding struct {
	Verdict Verdict
	// Check is what was looked at, in a word or two.
	Check string
	// What was found; where it is wrong, with what to do about it.
	What string
	// blocks: what is behind it cannot be judged before it is right.
	blocks bool
	// needsPods: pods that do not serve are reason enough for it.
	needsPods bool
}

func ok(check, format string, args ...any) Finding {
	return Finding{Verdict: OK, Check: check, What: fmt.Sprintf(format, args...)}
}

func wrong(check, format string, args ...any) Finding {
	return Finding{Verdict: Wrong, Check: check, What: fmt.Sprintf(format, args...)}
}

func unknown(check, format string, args ...any) Finding {
	return Finding{Verdict: Unknown, Check: check, What: fmt.Sprintf(format, args...)}
}

// blocking is a fault that all behind it suffers from.
func blocking(f Finding) Finding {
	f.blocks = true
	return f
}

// Examine makes all checks. Those of the network run at once. Of several that fail for one reason, the first is wrong, and the
// others are not known: each fault has its line.
func Examine(ctx context.Context, f *inspect.Facts, outside Outside) []Finding {
	all := Cluster(f)
	if f.Bot.Spec.Suspend {
		all = append(all, unknown("bot", "spec.suspend is true: the operator leaves it as it is, and the conditions are those of before"))
	}
	checks := []func(context.Context, *inspect.Facts) Finding{outside.dns, outside.certificate, outside.verification}
	found := make([]Finding, len(checks))
	var running sync.WaitGroup
	for i, check := range checks {
		running.Go(func() { found[i] = check(ctx, f) })
	}
	running.Wait()
	found = judged(all, found)
	return append(unreached(all, f.Bot, found), found...)
}

// unreached are the findings of the cluster, in which that WeChat has pushed nothing yet is not known to be a fault as long as it
// cannot get through.
func unreached(cluster []Finding, bot *v1alpha1.WechatBot, network []Finding) []Finding {
	connected := meta.FindStatusCondition(bot.Status.Conditions, v1alpha1.ConditionConnected)
	first := slices.IndexFunc(network, func(f Finding) bool { return f.Verdict == Wrong })
	if first < 0 || connected == nil || connected.Reason != v1alpha1.ReasonNoPushYet {
		return cluster
	}
	for i := range cluster {
		if f := &cluster[i]; f.Check == pushes && f.Verdict == Wrong {
			*f = unknown(f.Check, "see %s, first; now: %s", network[first].Check, f.What)
		}
	}
	return cluster
}

// judged are the findings of the network without what follows from earlier ones.
func judged(cluster, network []Finding) []Finding {
	pods := slices.ContainsFunc(cluster, func(f Finding) bool { return f.Check == "pods" && f.Verdict != OK })
	var before *Finding
	for i := range network {
		f := &network[i]
		switch {
		case f.Verdict != Wrong:
		case before != nil:
			*f = unknown(f.Check, "see %s, first; now: %s", before.Check, f.What)
		case pods && f.needsPods:
			*f = unknown(f.Check, "see pods, first; now: %s", f.What)
		case f.blocks:
			before = f
		}
	}
	return network
}

const pushes = "pushes"

// conditions are what the operator looks at, by the name of the check.
var conditions = []struct{ check, condition string }{
	{"secrets", v1alpha1.ConditionSecretsResolved},
	{"dify", v1alpha1.ConditionDifyReachable},
	{"session store", v1alpha1.ConditionSessionStoreReady},
	{"pods", v1alpha1.ConditionAvailable},
	{"ingress", v1alpha1.ConditionExposed},
	{"certificate secret", v1alpha1.ConditionCertificateReady},
	{pushes, v1alpha1.ConditionConnected},
	{"wechat api", v1alpha1.ConditionAccountReady},
	{"menu", v1alpha1.ConditionMenuPublished},
}

// Cluster says what the operator and the servers say.
func Cluster(f *inspect.Facts) []Finding {
	bot := f.Bot
	if meta.FindStatusCondition(bot.Status.Conditions, v1alpha1.ConditionReady) == nil {
		return append([]Finding{wrong("operator", "it has not looked at this bot: check that it runs, and that it watches namespace %s "+
			"(kubectl get pods -A -l app.kubernetes.io/name=wechatbot-operator)", bot.Namespace)}, servers(f)...)
	}
	all := []Finding{ok("operator", "it has looked at the bot as it is")}
	switch {
	case !bot.DeletionTimestamp.IsZero():
		all = []Finding{deleted(bot)}
	case bot.Status.ObservedGeneration < bot.Generation:
		all = []Finding{wrong("operator", "it has not looked at the latest change of this bot: check that it still runs "+
			"(kubectl get pods -A -l app.kubernetes.io/name=wechatbot-operator)")}
	}
	for _, one := range conditions {
		c := meta.FindStatusCondition(bot.Status.Conditions, one.condition)
		switch {
		case c == nil:
		case c.Reason == v1alpha1.ReasonStopped && one.condition == v1alpha1.ConditionAvailable: // as it was asked for
			all = append(all, unknown(one.check, "%s", c.Message))
		case c.Status == metav1.ConditionTrue:
			all = append(all, ok(one.check, "%s", c.Message))
		case c.Status == metav1.ConditionFalse:
			all = append(all, wrong(one.check, "%s: %s", c.Reason, c.Message))
		default:
			all = append(all, unknown(one.check, "%s: %s", c.Reason, c.Message))
		}
	}
	for _, abnormal := range []string{v1alpha1.ConditionStalled, v1alpha1.ConditionReconciling} {
		if c := meta.FindStatusCondition(bot.Status.Conditions, abnormal); c != nil && !said(all, c.Message) {
			all = append(all, wrong("objects", "%s: %s", c.Reason, c.Message))
		}
	}
	return append(all, servers(f)...)
}

// deleted is about a bot that the operator leaves alone, as it is to go.
func deleted(bot *v1alpha1.WechatBot) Finding {
	if len(bot.Finalizers) == 0 {
		return wrong("operator", "the bot is being deleted")
	}
	return wrong("operator", "the bot is being deleted, and the operator looks at it no more: its finalizers hold it up (%s), which others remove when they have "+
		"done their part", strings.Join(bot.Finalizers, ", "))
}

// said tells whether a finding has the message already: what is on its way repeats what it waits for.
func said(all []Finding, message string) bool {
	return slices.ContainsFunc(all, func(f Finding) bool { return f.Verdict != OK && strings.Contains(f.What, message) })
}

// servers says what each server says of itself, now.
func servers(f *inspect.Facts) []Finding {
	if f.ServersErr != nil {
		return []Finding{unknown("servers", "%v", f.ServersErr)}
	}
	var all []Finding
	for i := range f.Servers {
		s := &f.Servers[i]
		switch {
		case inspect.Forbidden(s.Err):
			all = append(all, unknown("servers", "you may not forward ports to pods of namespace %s (create pods/portforward), so that the servers "+
				"cannot be asked; the operator's word is above", f.Bot.Namespace))
			return all
		case s.Err != nil:
			all = append(all, unknown("server "+s.Pod, "it cannot be asked: %v", s.Err))
		case s.Problem != "":
			all = append(all, after(f, v1alpha1.ConditionAvailable, "pods", wrong("server "+s.Pod, "%s", s.Problem)))
		case s.Status == nil:
			all = append(all, unknown("server "+s.Pod, "it does not run yet"))
		case !s.Status.Store.OK:
			all = append(all, after(f, v1alpha1.ConditionSessionStoreReady, "session store",
				wrong("server "+s.Pod, "its session store does not answer: %s", s.Status.Store.Error)))
		case s.Status.Dify.LastError != "":
			all = append(all, after(f, v1alpha1.ConditionDifyReachable, "dify",
				wrong("server "+s.Pod, "its last question to Dify failed (%s): kubectl logs %s says more", s.Status.Dify.LastError, s.Pod)))
		default:
			p := s.Status.Pushes
			all = append(all, ok("server "+s.Pod, "version %s; since its start %d pushes of WeChat's, %d with a wrong signature, %d that cannot be decrypted",
				s.Status.Version, p.Authentic, p.WrongSignature, p.Undecryptable))
		}
	}
	return all
}

// after is a finding that says nothing new if a condition is False: the line of that one has what to do.
func after(f *inspect.Facts, condition, check string, found Finding) Finding {
	if meta.IsStatusConditionFalse(f.Bot.Status.Conditions, condition) {
		return unknown(found.Check, "see %s, first; now: %s", check, found.What)
	}
	return found
}

// AnyWrong tells whether something is wrong.
func AnyWrong(all []Finding) bool {
	return slices.ContainsFunc(all, func(f Finding) bool { return f.Verdict == Wrong })
}
