package report

import (
	"errors"
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

// Retryable is err without what is terminal: what the queue should try again, ever less often.
func Retryable(err error) error {
	if err == nil || Terminal(err) {
		return nil
	}
	return errors.Join(slices.DeleteFunc(split(err), terminal)...)
}

func terminal(err error) bool {
	if _, ok := errors.AsType[*desired.InvalidError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*apply.NotOursError](err); ok {
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
func explain(err error) (reason, message string) {
	all := split(err)
	slices.SortStableFunc(all, func(a, b error) int { return weight(a) - weight(b) })
	first := all[0]
	if invalid, ok := errors.AsType[*desired.InvalidError](first); ok {
		return invalid.Reason, invalid.Message
	}
	if taken, ok := errors.AsType[*apply.NotOursError](first); ok {
		return v1alpha1.ReasonNameConflict, "the name is taken: " + taken.Error() +
			"; delete or rename it, or give the bot another name"
	}
	failed, ok := errors.AsType[*apply.FailedError](first)
	if !ok {
		return v1alpha1.ReasonApplyFailed, "the API server does not show what is needed: " + stable(first)
	}
	reason = v1alpha1.ReasonApplyFailed
	if apierrors.IsInvalid(failed.Err) && failed.Kind == "Deployment" {
		reason = v1alpha1.ReasonInvalidPodTemplate
	}
	return reason, "the API server does not take the " + failed.Kind + " " + failed.Name + ": " + stable(failed.Err)
}

func weight(err error) int {
	switch {
	case terminal(err):
		return 0
	case !isTransient(err):
		return 1
	}
	return 2
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
	if terminal(err) {
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

// stable gives the API server's words where they are about the object and stay the same, else only their kind.
func stable(err error) string {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		switch status.Status().Reason {
		case metav1.StatusReasonForbidden, metav1.StatusReasonInvalid, metav1.StatusReasonBadRequest,
			metav1.StatusReasonNotFound, metav1.StatusReasonMethodNotAllowed:
			return strings.TrimSpace(status.Status().Message)
		default:
			return string(status.Status().Reason)
		}
	}
	return "it cannot be reached"
}
