package report

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/apply"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// nameConflict names everything that is in the bot's way, in a command that gives it to the bot. To delete it is never
// the advice: it may be what serves, restored without its labels.
func nameConflict(bot *v1alpha1.WechatBot, all []error) string {
	var free, others []string
	for _, err := range all {
		taken, ok := errors.AsType[*apply.NotOursError](err)
		switch {
		case !ok:
		case taken.Controller == "":
			free = append(free, reference(taken.Kind, taken.Name))
		default:
			others = append(others, reference(taken.Kind, taken.Name)+" (of "+taken.Controller+")")
		}
	}
	slices.Sort(free)
	slices.Sort(others)
	if len(others) > 0 {
		return fmt.Sprintf("names that this bot needs are taken by what others made: %s: give the bot another name", strings.Join(slices.Concat(others, free), ", "))
	}
	return fmt.Sprintf("names that this bot needs are taken by objects that are not its own. If they are another's, give the bot another name or rename them. "+
		"If they are to be this bot's: kubectl -n %s label --overwrite %s %s=%s %s=%s",
		bot.Namespace, strings.Join(free, " "), naming.LabelManagedBy, naming.ManagedBy, naming.LabelInstance, bot.Name)
}

// reference is an object as kubectl takes it.
func reference(kind, name string) string { return strings.ToLower(kind) + "/" + name }

// makeAnew says how to get rid of an object that cannot be changed to what it should be. Its pods go on. It comes before the API
// server's words, which may be long.
func makeAnew(bot *v1alpha1.WechatBot, failed *apply.FailedError) string {
	command := fmt.Sprintf("kubectl -n %s delete %s", bot.Namespace, reference(failed.Kind, failed.Name))
	if failed.Kind == "Deployment" || failed.Kind == "StatefulSet" {
		command += " --cascade=orphan"
	}
	return fmt.Sprintf("the %s %s has to be made anew, which the bot does when it is gone: %s", failed.Kind, failed.Name, command)
}

func objectTerminating(e *apply.TerminatingError) string {
	message := fmt.Sprintf("%s %s is being deleted; the bot makes a new one when it is gone", e.Kind, e.Name)
	if len(e.Finalizers) > 0 {
		message += fmt.Sprintf(": its finalizers hold it up (%s), which others remove when they have done their part", strings.Join(e.Finalizers, ", "))
	}
	return message
}

// fieldsOverridden says what is changed, by whom, and what to do about it.
func fieldsOverridden(bot *v1alpha1.WechatBot, e *apply.OverriddenError, all []error) string {
	const most = 3
	fields := strings.Join(e.Fields[:min(len(e.Fields), most)], ", ")
	if n := len(e.Fields) - most; n > 0 {
		fields += fmt.Sprintf(" and %d more", n)
	}
	what := fmt.Sprintf("%s of %s %s", fields, e.Kind, e.Name)
	others := 0
	for _, one := range all {
		if o, ok := errors.AsType[*apply.OverriddenError](one); ok && o != e {
			others++
		}
	}
	if others > 0 {
		what += fmt.Sprintf(" (and of %d more objects)", others)
	}
	if len(e.Managers) == 0 {
		return fmt.Sprintf("an admission policy or webhook changes %s while it is written: exempt what has the label %s=%s from it, or have it leave these fields",
			what, naming.LabelManagedBy, naming.ManagedBy)
	}
	message := fmt.Sprintf("%s keeps changing %s, so that the operator writes it less often: ", strings.Join(e.Managers, ", "), what)
	if e.Kind == "Deployment" && slices.Contains(e.Fields, "spec.replicas") {
		return message + fmt.Sprintf("an autoscaler must target the WechatBot (scaleTargetRef: apiVersion %s, kind WechatBot, name %s), not its Deployment",
			v1alpha1.SchemeGroupVersion, bot.Name)
	}
	return message + "have it leave these fields, or set what it wants in the bot's spec (podTemplate, ingress.annotations)"
}

func cannotGrow(e *apply.CannotGrowError) string {
	class := "its StorageClass"
	if e.Class != "" {
		class = fmt.Sprintf("StorageClass %q", e.Class)
	}
	return fmt.Sprintf("spec.session.redis.managed.storage: the volume (PersistentVolumeClaim %s) cannot grow, as %s does not allow it: set it back to %s, "+
		"or have an administrator set allowVolumeExpansion", e.Claim, class, e.Has.String())
}
