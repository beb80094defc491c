package report

import (
	"errors"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
	"github.com/wechatbot/wechatbot-operator/controllers/observe"
	"github.com/wechatbot/wechatbot-operator/server/dify"
)

// difyPatience is how long the first answer of Dify is awaited before the status says that there is none, so that the
// first status is complete where Dify is well.
const difyPatience = 500 * time.Millisecond

// AwaitDify returns how long to wait for a first answer of Dify before the status is written; 0 is not at all.
func AwaitDify(bot *v1alpha1.WechatBot, state *observe.State) time.Duration {
	if !NeedsDify(bot, state) || state.Dify.Pending.IsZero() {
		return 0
	}
	return max(difyPatience-state.Now.Sub(state.Dify.Pending), 0)
}

// NeedsDify reports whether nothing is known of Dify. What was known before a start of the operator still holds.
func NeedsDify(bot *v1alpha1.WechatBot, state *observe.State) bool {
	if state.Dify.Off {
		return false
	}
	before := meta.FindStatusCondition(bot.Status.Conditions, v1alpha1.ConditionDifyReachable)
	return !state.Dify.Asked && (state.Dify.Changed || before == nil || before.Status == metav1.ConditionUnknown ||
		before.ObservedGeneration != bot.Generation)
}

// KnownOfDify reports whether the bot's status says already what Dify answered: after a start of the operator, or where
// a Dify stays down.
func KnownOfDify(bot *v1alpha1.WechatBot, answer observe.Dify) bool {
	is := difyReachable(bot, &observe.State{Dify: answer})
	was := meta.FindStatusCondition(bot.Status.Conditions, v1alpha1.ConditionDifyReachable)
	return is != nil && is.status != metav1.ConditionUnknown && was != nil && was.Status == is.status && was.Reason == is.reason &&
		was.Message == clip(is.message) && was.ObservedGeneration == bot.Generation &&
		(is.status == metav1.ConditionFalse || bot.Status.Dify == answer.App)
}

// difyReachable is nil while the condition is to stay as it is.
func difyReachable(bot *v1alpha1.WechatBot, state *observe.State) *finding {
	d := &state.Dify
	if !d.Asked {
		if !NeedsDify(bot, state) {
			return nil
		}
		if slices.ContainsFunc(state.Secrets, func(p observe.SecretProblem) bool { return p.Ref.File == desired.FileDifyAPIKey }) {
			return unknown(v1alpha1.ReasonNotChecked, "Dify at %s is asked as soon as there is an API key", bot.Spec.Dify.BaseURL)
		}
		return unknown(v1alpha1.ReasonNotChecked, "Dify at %s has not answered yet", bot.Spec.Dify.BaseURL)
	}
	if d.Err != nil {
		return difyError(bot.Spec.Dify.BaseURL, d.Err)
	}
	switch {
	case !observe.Chats(d.App.Mode):
		return bad(v1alpha1.ReasonWrongAppMode, "the API key belongs to a %s app, which cannot be talked to: "+
			"use the key of a chat app, an agent or a chatflow in spec.dify.apiKeySecretRef", d.App.Mode)
	case len(d.Missing) > 0:
		return bad(v1alpha1.ReasonInputsMissing, "the Dify app requires variables that are not set: add %s to spec.dify.inputs",
			strings.Join(d.Missing, ", "))
	case d.App.AppName == "":
		return good(v1alpha1.ReasonAuthorized, "Dify accepted the API key")
	}
	return good(v1alpha1.ReasonAuthorized, "Dify accepted the API key of app %q", d.App.AppName)
}

// difyVouched reports whether a Dify that fails is no reason to call the bot not ready: it answered this address and key
// well before, and whatever replaces a bot that is not ready would not help. A changed address or key has to prove itself.
func difyVouched(bot *v1alpha1.WechatBot, state *observe.State) bool {
	if state.Dify.Confirmed {
		return true
	}
	if state.Dify.Changed {
		return false
	}
	// Of before this operator's start the status knows.
	before := meta.FindStatusCondition(bot.Status.Conditions, v1alpha1.ConditionDifyReachable)
	return before != nil && before.Status != metav1.ConditionUnknown && before.ObservedGeneration == bot.Generation &&
		(bot.Status.Dify != v1alpha1.DifyStatus{} || meta.IsStatusConditionTrue(bot.Status.Conditions, v1alpha1.ConditionReady))
}

// difyFailures say what a failed call means and what to do about it. %s is spec.dify.baseURL.
var difyFailures = map[dify.Kind]struct{ reason, message string }{
	dify.Unauthorized: {v1alpha1.ReasonUnauthorized, "Dify at %s refuses the API key: put the app's key (app-...) into the Secret " +
		"of spec.dify.apiKeySecretRef"},
	dify.Forbidden: {v1alpha1.ReasonUnauthorized, "Dify at %s accepts the API key but not the access: the app is deleted, or its " +
		"API is switched off"},
	dify.WrongAppMode: {v1alpha1.ReasonWrongAppMode, "the API key of Dify at %s belongs to an app that cannot be talked to: use the key " +
		"of a chat app, an agent or a chatflow in spec.dify.apiKeySecretRef"},
	dify.AppUnavailable: {v1alpha1.ReasonUnreachable, "the app of Dify at %s is not published: publish it in Dify"},
	dify.NotFound:       {v1alpha1.ReasonUnreachable, notDify},
	dify.BadResponse:    {v1alpha1.ReasonUnreachable, notDify},
	dify.HTMLResponse:   {v1alpha1.ReasonUnreachable, "what answers at %s is a web page, not Dify's service API: correct spec.dify.baseURL"},
	dify.Redirected:     {v1alpha1.ReasonUnreachable, "what answers at %s redirects elsewhere instead of being Dify's service API: correct spec.dify.baseURL"},
	dify.Server:         {v1alpha1.ReasonUnreachable, "Dify at %s, or a proxy before it, answers with errors (5xx): see its log"},
	dify.RateLimited:    {v1alpha1.ReasonUnreachable, "Dify at %s, or a proxy before it, refuses further requests (429)"},
	dify.Interrupted:    {v1alpha1.ReasonUnreachable, "Dify at %s, or a proxy before it, closes connections without an answer"},

	dify.NoSuchHost: {v1alpha1.ReasonUnreachable, "Dify at %s cannot be reached: no such host. Correct spec.dify.baseURL, or make the Service or DNS record"},
	dify.ConnectionRefused: {v1alpha1.ReasonUnreachable, "Dify at %s cannot be reached: connection refused. Check that Dify runs, and the port " +
		"in spec.dify.baseURL"},
	dify.ConnectTimeout: {v1alpha1.ReasonUnreachable, "Dify at %s cannot be reached: no connection in 10 s. Check that network policies and " +
		"firewalls let the cluster reach it"},
	dify.FirstEventTimeout: {v1alpha1.ReasonUnreachable, "Dify at %s accepts connections, but gives no answer in 10 s: see its log"},
	dify.UnknownAuthority: {v1alpha1.ReasonUnreachable, "Dify at %s cannot be trusted: its certificate is signed by unknown authority. Set " +
		"spec.dify.caSecretRef to the CA that signed it"},
	dify.BadCertificate: {v1alpha1.ReasonUnreachable, "Dify at %s cannot be trusted: its certificate has expired, or is for another host. Renew it, " +
		"or use the certificate's host in spec.dify.baseURL"},
	dify.NoTLS:       {v1alpha1.ReasonUnreachable, "Dify at %s speaks no TLS: write http:// instead of https:// in spec.dify.baseURL, or correct the port"},
	dify.TLSRequired: {v1alpha1.ReasonUnreachable, "Dify at %s speaks TLS only: write https:// instead of http:// in spec.dify.baseURL, or correct the port"},
	dify.TLSFailed:   {v1alpha1.ReasonUnreachable, "Dify at %s refuses the TLS handshake: it may want a client certificate, or an old version of TLS"},
}

const notDify = "what answers at %s is not Dify's service API: correct spec.dify.baseURL"

func difyError(baseURL string, err error) *finding {
	e, ok := errors.AsType[*dify.Error](err)
	if !ok {
		return bad(v1alpha1.ReasonUnreachable, "spec.dify.baseURL: %s", strings.TrimPrefix(err.Error(), "dify: "))
	}
	if f, known := difyFailures[e.Kind]; known {
		return bad(f.reason, f.message, baseURL)
	}
	return bad(v1alpha1.ReasonUnreachable, "Dify at %s does not answer: check spec.dify.baseURL, and that the cluster may "+
		"reach it", baseURL)
}
