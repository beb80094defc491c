package report

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/apply"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
)

// Terminal tells whether all of an error stays until someone changes something, so that trying again is no use.
func Terminal(err error) bool {
	return err != nil && !slices.ContainsFunc(split(err), func(one error) bool { return !terminal(one) })
}

// Retryable is err without what is terminal, and without what others have to end: what the queue should try again, ever
// less often.
func Retryable(err error) error {
	if err == nil {
		return nil
	}
	return errors.Join(slices.DeleteFunc(split(err), func(one error) bool { return terminal(one) || waits(one) })...)
}

// waits tells whether an error ends when others have done their part; it is looked at again within a minute.
func waits(err error) bool {
	_, terminating := errors.AsType[*apply.TerminatingError](err)
	_, overridden := errors.AsType[*apply.OverriddenError](err)
	return terminating || overridden
}

func terminal(err error) bool {
	if _, ok := errors.AsType[*desired.InvalidError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*apply.NotOursError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*apply.CannotGrowError](err); ok {
		return true
	}
	failed, ok := errors.AsType[*apply.FailedError](err)
	return ok && apierrors.IsInvalid(failed.Err)
}

// split gives the errors that err joins.
func split(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, one := range joined.Unwrap() {
		all = append(all, split(one)...)
	}
	return all
}

// explain gives the reason and the message for an error. Of several, what needs a person comes first.
func explain(bot *v1alpha1.WechatBot, err error) (reason, message string) {
	all := split(err)
	slices.SortStableFunc(all, func(a, b error) int { return weight(a) - weight(b) })
	first := all[0]
	if invalid, ok := errors.AsType[*desired.InvalidError](first); ok {
		return invalid.Reason, invalid.Message
	}
	if _, ok := errors.AsType[*apply.NotOursError](first); ok {
		return v1alpha1.ReasonNameConflict, nameConflict(bot, all)
	}
	if volume, ok := errors.AsType[*apply.CannotGrowError](first); ok {
		return v1alpha1.ReasonInvalidSpec, cannotGrow(volume)
	}
	if terminating, ok := errors.AsType[*apply.TerminatingError](first); ok {
		return v1alpha1.ReasonObjectTerminating, objectTerminating(terminating)
	}
	if overridden, ok := errors.AsType[*apply.OverriddenError](first); ok {
		return v1alpha1.ReasonFieldsOverridden, fieldsOverridden(bot, overridden, all)
	}
	failed, ok := errors.AsType[*apply.FailedError](first)
	if !ok {
		return v1alpha1.ReasonApplyFailed, "the API server does not show what is needed: " + stable(first)
	}
	reason = v1alpha1.ReasonApplyFailed
	if bot.Spec.PodTemplate != nil && failed.Kind == "Deployment" && isAbout(failed.Err, "spec.template") {
		reason = v1alpha1.ReasonInvalidPodTemplate
	}
	if isFixed(failed.Err) {
		return reason, makeAnew(bot, failed) + "; the API server does not let it be changed: " + stable(failed.Err)
	}
	return reason, "the API server does not take the " + failed.Kind + " " + failed.Name + ": " + stable(failed.Err)
}

// isAbout tells whether the API server finds a field invalid, or one below it. A policy that refuses an object as invalid
// names none.
func isAbout(err error, field string) bool {
	return slices.ContainsFunc(invalidFields(err), func(c metav1.StatusCause) bool { return strings.HasPrefix(c.Field, field) })
}

// isFixed tells whether the API server does not let a field be changed: a ConfigMap was made immutable, or a Deployment with
// another selector was given to the bot.
func isFixed(err error) bool {
	return slices.ContainsFunc(invalidFields(err), func(c metav1.StatusCause) bool {
		return c.Field != "" && slices.ContainsFunc(fixedFields, func(words string) bool { return strings.Contains(c.Message, words) })
	})
}

// fixedFields are the API server's words for a field that cannot be changed.
var fixedFields = []string{"immutable", "updates to statefulset spec for fields other than", "cannot change roleRef"}

func invalidFields(err error) []metav1.StatusCause {
	var status apierrors.APIStatus
	if !apierrors.IsInvalid(err) || !errors.As(err, &status) || status.Status().Details == nil {
		return nil
	}
	return status.Status().Details.Causes
}

func weight(err error) int {
	switch {
	case terminal(err):
		return 0
	case !isTransient(err) && !waits(err):
		return 1
	case waits(err):
		return 2
	}
	return 3
}

// IsNamespaceTerminating tells whether an error comes of the namespace's end: the API server takes nothing new there, and the bot goes
// with it, so that there is nothing to say or to try again.
func IsNamespaceTerminating(err error) bool {
	return err != nil && slices.ContainsFunc(split(err), func(one error) bool {
		return apierrors.HasStatusCause(one, corev1.NamespaceTerminatingCause)
	})
}

// IsTransient tells whether all of an error is of the kind that goes away by itself, such as a conflict or an API server
// that restarts. Nothing is said about a bot for its sake.
func IsTransient(err error) bool {
	return !slices.ContainsFunc(split(err), func(one error) bool { return !isTransient(one) })
}

func isTransient(err error) bool {
	if terminal(err) || waits(err) {
		return false
	}
	var status apierrors.APIStatus
	if errors.As(err, &status) && isRefusal(status.Status()) {
		return false
	}
	switch apierrors.ReasonForError(err) {
	case metav1.StatusReasonUnknown, metav1.StatusReasonConflict, metav1.StatusReasonAlreadyExists, metav1.StatusReasonServerTimeout,
		metav1.StatusReasonTimeout, metav1.StatusReasonTooManyRequests, metav1.StatusReasonServiceUnavailable,
		metav1.StatusReasonExpired, metav1.StatusReasonGone:
		return true
	default:
		return false
	}
}

// isRefusal tells whether a status without a reason refuses the object: an admission webhook need not give one with its
// refusal, and the API server passes on what it gives.
func isRefusal(status metav1.Status) bool {
	const conflict, tooManyRequests = 409, 429
	return status.Reason == metav1.StatusReasonUnknown && status.Code/100 == 4 &&
		status.Code != conflict && status.Code != tooManyRequests
}

// webhookAway finds the webhook that the API server could not ask. The rest of its words has addresses and times.
var webhookAway = regexp.MustCompile(`failed calling webhook "([^"]+)"`)

// stable gives the API server's words where they are about the object and stay the same, else only their kind.
func stable(err error) string {
	var answer apierrors.APIStatus
	if !errors.As(err, &answer) {
		return "it cannot be reached"
	}
	status := answer.Status()
	switch status.Reason {
	case metav1.StatusReasonForbidden, metav1.StatusReasonInvalid, metav1.StatusReasonBadRequest,
		metav1.StatusReasonNotFound, metav1.StatusReasonMethodNotAllowed:
		return strings.TrimSpace(status.Message)
	default:
	}
	if webhook := webhookAway.FindStringSubmatch(status.Message); webhook != nil {
		return fmt.Sprintf("the admission webhook %q cannot be reached, or answers wrongly: make it run again, or exempt the namespace from it "+
			"(kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations)", webhook[1])
	}
	if isRefusal(status) {
		return strings.TrimSpace(status.Message)
	}
	return string(status.Reason)
}
