package report_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"pgregory.net/rapid"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/apply"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
	"github.com/wechatbot/wechatbot-operator/controllers/observe"
	"github.com/wechatbot/wechatbot-operator/controllers/report"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func winter(change ...func(*v1alpha1.WechatBot)) *v1alpha1.WechatBot {
	bot := &v1alpha1.WechatBot{
		ObjectMeta: metav1.ObjectMeta{Name: "winter", Namespace: "bots", Generation: 3},
		Spec: v1alpha1.WechatBotSpec{
			Domain: "bot.example.com", Ingress: &v1alpha1.Ingress{Enabled: new(false)},
			Dify: v1alpha1.Dify{BaseURL: "https://dify.example.com/v1"},
		},
	}
	for _, c := range change {
		c(bot)
	}
	return bot
}

func sessions() (s [serverconfig.SessionObjects]*corev1.ConfigMap) {
	for i := range s {
		s[i] = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "winter-sessions-" + strconv.Itoa(i)}}
	}
	return s
}

// healthy is the state of a bot that lacks nothing.
func healthy(change ...func(*observe.State)) *observe.State {
	s := &observe.State{
		Now:  now,
		Dify: observe.Dify{Asked: true, App: v1alpha1.DifyStatus{AppName: "Winter", Mode: "chat"}},
		Children: observe.Children{
			Sessions: sessions(),
			Deployment: &appsv1.Deployment{
				ObjectMeta: metav1.ObjectMeta{Name: "winter", Generation: 2},
				Spec:       appsv1.DeploymentSpec{Replicas: new(int32(1))},
				Status: appsv1.DeploymentStatus{
					ObservedGeneration: 2, Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1,
				},
			},
		},
	}
	for _, c := range change {
		c(s)
	}
	return s
}

func ready(status v1alpha1.WechatBotStatus) string {
	c := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
	return string(c.Status) + " " + c.Reason + ": " + c.Message
}

func TestReadySumsUp(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "services"}, "winter", errors.New("no"))
	invalid := apierrors.NewInvalid(schema.GroupKind{Kind: "Deployment"}, "winter", nil)
	for name, c := range map[string]struct {
		state    *observe.State
		err      error
		want     string
		abnormal string
	}{
		"all is well": {healthy(), nil, "True Serving: 1/1 replicas serve https://bot.example.com/wechat", ""},
		"the first failure wins": {healthy(func(s *observe.State) {
			s.Secrets = []observe.SecretProblem{{Reason: v1alpha1.ReasonSecretMalformed, Wrong: "is empty", Ref: desired.SecretRef{Field: "tokenSecretRef"}}}
			s.Children.Deployment.Status = appsv1.DeploymentStatus{}
		}), nil, `False SecretMalformed: spec.tokenSecretRef: key "" of Secret "" is empty`, v1alpha1.ConditionReconciling},
		"an old generation of the pods does not count": {healthy(func(s *observe.State) { s.Children.Deployment.Generation = 9 }), nil,
			"False PodsNotReady: waiting for the pods of Deployment winter; meanwhile 1/1 replicas serve", v1alpha1.ConditionReconciling},
		"more pods than wanted": {healthy(func(s *observe.State) { s.Children.Deployment.Status.Replicas = 2 }), nil,
			"False PodsNotReady: waiting for the pods of Deployment winter; meanwhile 1/1 replicas serve", v1alpha1.ConditionReconciling},
		"pods that cannot be made": {healthy(func(s *observe.State) {
			s.Children.Deployment.Status = appsv1.DeploymentStatus{Conditions: []appsv1.DeploymentCondition{
				{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate", Message: "exceeded quota"},
			}}
		}), nil, "False PodsNotReady: FailedCreate: the pods of Deployment winter cannot be made: exceeded quota", v1alpha1.ConditionReconciling},
		"no Deployment": {healthy(func(s *observe.State) { s.Children.Deployment = nil }), nil,
			"False PodsNotReady: the Deployment winter is not there yet", v1alpha1.ConditionReconciling},
		"no store": {healthy(func(s *observe.State) { s.Children.Sessions[3] = nil }), nil,
			"False StorePending: the ConfigMaps that keep the conversations are not all there yet", v1alpha1.ConditionReconciling},
		"an invalid spec": {healthy(), &desired.InvalidError{Reason: v1alpha1.ReasonInvalidSpec, Message: "spec.x is wrong"},
			"False InvalidSpec: spec.x is wrong; meanwhile 1/1 replicas serve", v1alpha1.ConditionStalled},
		"of several errors the one that needs a person": {healthy(), errors.Join(&apply.FailedError{Kind: "Service", Name: "winter", Err: forbidden}, &apply.NotOursError{Kind: "Role", Name: "x"}),
			"False NameConflict: names that this bot needs are taken by objects that are not its own. If they are another's, give the bot another name " +
				"or rename them. If they are to be this bot's: kubectl -n bots label --overwrite role/x app.kubernetes.io/managed-by=wechatbot-operator " +
				"app.kubernetes.io/instance=winter; meanwhile 1/1 replicas serve", v1alpha1.ConditionReconciling},
		"a right is missing": {healthy(), &apply.FailedError{Kind: "Service", Name: "winter", Err: forbidden},
			`False ApplyFailed: the API server does not take the Service winter: services "winter" is forbidden: no; meanwhile 1/1 replicas serve`, v1alpha1.ConditionReconciling},
		"the API server refuses the pods": {healthy(), &apply.FailedError{Kind: "Deployment", Name: "winter", Err: invalid},
			`False ApplyFailed: the API server does not take the Deployment winter: Deployment "winter" is invalid; meanwhile 1/1 replicas serve`, v1alpha1.ConditionStalled},
		"somebody fights": {healthy(), errors.Join(
			&apply.OverriddenError{Kind: "Service", Name: "winter", Fields: []string{"spec.type", "a", "b", "c"}, Managers: []string{"tool"}},
			&apply.OverriddenError{Kind: "Role", Name: "x", Fields: []string{"rules"}, Managers: []string{"tool"}}),
			"False FieldsOverridden: tool keeps changing spec.type, a, b and 1 more of Service winter (and of 1 more objects), so that the operator writes it less " +
				"often: have it leave these fields, or set what it wants in the bot's spec (podTemplate, ingress.annotations); meanwhile 1/1 replicas serve", v1alpha1.ConditionReconciling},
		"a Secret is deleted": {healthy(func(s *observe.State) {
			s.Secrets = []observe.SecretProblem{{Reason: v1alpha1.ReasonSecretNotFound, Ref: desired.SecretRef{
				SecretKeyRef: v1alpha1.SecretKeyRef{Name: "gone", Key: "token"}, Field: "tokenSecretRef",
			}}}
		}), nil, `False SecretNotFound: spec.tokenSecretRef: Secret "gone" does not exist in namespace bots: create it with the key "token"; ` +
			"meanwhile 1/1 replicas serve", v1alpha1.ConditionReconciling},
		"a Secret may not be read": {nil, fmt.Errorf("reading Secret winter: %w", forbidden),
			`False ApplyFailed: the API server does not show what is needed: services "winter" is forbidden: no`, v1alpha1.ConditionReconciling},
		"an admission webhook that does not answer": {healthy(), &apply.FailedError{Kind: "Service", Name: "winter", Err: apierrors.NewInternalError(errors.New("at 12:03"))},
			"False ApplyFailed: the API server does not take the Service winter: InternalError; meanwhile 1/1 replicas serve", v1alpha1.ConditionReconciling},
	} {
		t.Run(name, func(t *testing.T) {
			status := report.Status(winter(), c.state, c.err)
			if diff := cmp.Diff(c.want, ready(status)); diff != "" {
				t.Error(diff)
			}
			for _, condition := range []string{v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled} {
				if got := meta.IsStatusConditionTrue(status.Conditions, condition); got != (condition == c.abnormal) {
					t.Errorf("%s is %v", condition, got)
				}
			}
			_, waits := errors.AsType[*apply.OverriddenError](c.err) // it is looked at again, but by no backoff
			if retries := report.Retryable(c.err) != nil; retries != (c.err != nil && c.abnormal == v1alpha1.ConditionReconciling && !waits) {
				t.Errorf("it is tried again: %v", retries)
			}
		})
	}
}

func TestIsTransient_NotReported(t *testing.T) {
	conflict := apierrors.NewConflict(schema.GroupResource{}, "x", errors.New("changed"))
	for _, err := range []error{conflict, errors.New("connection refused"), errors.Join(conflict, apierrors.NewTooManyRequestsError("x"))} {
		if !report.IsTransient(err) {
			t.Errorf("%v is reported", err)
		}
	}
	answer := func(code int32) error {
		return &apply.FailedError{Kind: "Service", Name: "x", Err: &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: code, Message: "no"}}}
	}
	for code, transient := range map[int32]bool{400: false, 403: false, 422: false, 406: false, 409: true, 429: true, 500: true, 503: true} {
		if report.IsTransient(answer(code)) != transient {
			t.Errorf("an answer of code %d without a reason is transient: %v", code, !transient)
		}
	}
	for _, err := range []error{&apply.NotOursError{}, errors.Join(conflict, &desired.InvalidError{}), apierrors.NewInternalError(errors.New("x"))} {
		if report.IsTransient(err) {
			t.Errorf("%v is not reported", err)
		}
	}
}

// What the API server does not take is named for what it is.
func TestApplyFailed_SaysWhatToDo(t *testing.T) {
	const hooked = `Internal error occurred: failed calling webhook "check.example.com": failed to call webhook: Post "https://10.0.0.7:443/?timeout=10s": dial tcp 10.0.0.7:443: connect: connection refused`
	status := func(code int32, reason metav1.StatusReason, message string, causes ...metav1.StatusCause) error {
		return &apierrors.StatusError{ErrStatus: metav1.Status{Code: code, Reason: reason, Message: message, Details: &metav1.StatusDetails{Causes: causes}}}
	}
	template := metav1.StatusCause{Type: metav1.CauseTypeFieldValueInvalid, Field: "spec.template.spec.containers[0].image", Message: "Required value"}
	selector := metav1.StatusCause{Type: metav1.CauseTypeFieldValueInvalid, Field: "spec.selector", Message: "Invalid value: {}: field is immutable"}
	withTemplate := winter(func(b *v1alpha1.WechatBot) { b.Spec.PodTemplate = &runtime.RawExtension{Raw: []byte("{}")} })
	const anew = "made anew"
	for name, c := range map[string]struct {
		bot         *v1alpha1.WechatBot
		kind        string
		err         error
		want, lacks string
	}{
		"a webhook gives no reason":        {winter(), "Service", status(400, "", `admission webhook "check" denied the request: needs team`), `False ApplyFailed: the API server does not take the Service winter: admission webhook "check" denied the request: needs team`, anew},
		"a webhook is away":                {winter(), "Service", status(500, metav1.StatusReasonInternalError, hooked), `the admission webhook "check.example.com" cannot be reached`, "10.0.0.7"},
		"a policy says invalid":            {withTemplate, "Deployment", status(422, metav1.StatusReasonInvalid, "ValidatingAdmissionPolicy 'images' denied request", metav1.StatusCause{Message: "denied"}), "False ApplyFailed: ", anew},
		"the pod template is invalid":      {withTemplate, "Deployment", status(422, metav1.StatusReasonInvalid, "no image", template), "False InvalidPodTemplate: ", anew},
		"the pods are, without a template": {winter(), "Deployment", status(422, metav1.StatusReasonInvalid, "no image", template), "False ApplyFailed: ", anew},
		"another selector":                 {withTemplate, "Deployment", status(422, metav1.StatusReasonInvalid, "field is immutable", selector), "False ApplyFailed: the Deployment winter has to be made anew, which the bot does when it is gone: kubectl -n bots delete deployment/winter --cascade=orphan; the API server", "podTemplate"},
	} {
		got := ready(report.Status(c.bot, healthy(), &apply.FailedError{Kind: c.kind, Name: "winter", Err: c.err}))
		if !strings.Contains(got, c.want) || strings.Contains(got, c.lacks) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestANamespaceThatEndsIsNoFailure(t *testing.T) {
	terminating := apierrors.NewForbidden(schema.GroupResource{}, "winter", errors.New("the namespace is being terminated"))
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	failed := &apply.FailedError{Kind: "Service", Name: "winter", Err: terminating}
	other := &apply.FailedError{Kind: "Role", Name: "winter", Err: apierrors.NewForbidden(schema.GroupResource{}, "winter", errors.New("no right"))}
	for err, want := range map[error]bool{failed: true, errors.Join(other, failed): true, other: false, errors.New("x"): false} {
		if got := report.IsNamespaceTerminating(err); got != want {
			t.Errorf("%v: %v, want %v", err, got, want)
		}
	}
	if report.IsNamespaceTerminating(nil) {
		t.Error("no error is one")
	}
}

func TestARestartKeepsWhatWasKnownOfDify(t *testing.T) {
	bot := winter()
	bot.Status = report.Status(bot, healthy(), nil)
	unasked := healthy(func(s *observe.State) { s.Dify = observe.Dify{} })
	if diff := cmp.Diff(bot.Status, report.Status(bot, unasked, nil)); diff != "" {
		t.Errorf("a new operator says something else:\n%s", diff)
	}
	unasked.Dify.Changed = true
	if c := meta.FindStatusCondition(report.Status(bot, unasked, nil).Conditions, v1alpha1.ConditionDifyReachable); c.Reason != v1alpha1.ReasonNotChecked {
		t.Errorf("with another key it says %v", c)
	}
}

func TestAnOperatorThatAsksNoDifySaysNothingOfIt(t *testing.T) {
	bot := winter()
	bot.Status = report.Status(bot, healthy(func(s *observe.State) { s.Dify = observe.Dify{Asked: true, App: s.Dify.App, Err: errors.New("away")} }), nil)
	off := healthy(func(s *observe.State) { s.Dify = observe.Dify{Off: true} })
	status := report.Status(bot, off, nil)
	if c := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionDifyReachable); c != nil || status.Dify != (v1alpha1.DifyStatus{}) {
		t.Errorf("it says %v and %v", c, status.Dify)
	}
	if got := ready(status); !strings.HasPrefix(got, "True Serving") {
		t.Errorf("Ready is %s", got)
	}
	if report.NeedsDify(bot, off) {
		t.Error("a reconcile would wait for Dify")
	}
}

func TestEventsAreForTransitions(t *testing.T) {
	bot := winter()
	down := healthy(func(s *observe.State) { s.Dify = observe.Dify{Asked: true, Err: errors.New("x")} })
	steps := []struct {
		state *observe.State
		want  []report.Event
	}{
		{healthy(func(s *observe.State) { s.Children.Deployment.Status = appsv1.DeploymentStatus{} }),
			[]report.Event{{Type: "Normal", Reason: "PodsNotReady", Note: "waiting for the pods of Deployment winter"}}},
		{healthy(), []report.Event{{Type: "Normal", Reason: "Serving", Note: "1/1 replicas serve https://bot.example.com/wechat"}}},
		{healthy(), nil},
		{down, []report.Event{{Type: "Warning", Reason: "Unreachable", Note: "spec.dify.baseURL: x"}}},
		{down, nil},
		{healthy(func(s *observe.State) { s.Dify = observe.Dify{Asked: true, Err: errors.New("y")} }),
			[]report.Event{{Type: "Warning", Reason: "Unreachable", Note: "spec.dify.baseURL: y"}}},
		{healthy(), []report.Event{{Type: "Normal", Reason: "Authorized", Note: `Dify accepted the API key of app "Winter"`}}},
	}
	for i, step := range steps {
		after := report.Status(bot, step.state, nil)
		if diff := cmp.Diff(step.want, report.Events(&bot.Status, &after)); diff != "" {
			t.Errorf("step %d: %s", i, diff)
		}
		bot.Status = after
	}
}

// A reason of the pods' own warns once, also while the condition stays as it is.
func TestEvents_PodsOwnReason(t *testing.T) {
	bot := winter()
	state := func(problem string) *observe.State {
		return healthy(func(s *observe.State) {
			s.Children.Deployment.Status, s.PodProblem = appsv1.DeploymentStatus{}, problem
		})
	}
	for i, step := range []struct {
		problem string
		want    []string
	}{
		{"", []string{"Normal PodsNotReady"}},
		{"ImagePullBackOff: the image x of container server cannot be pulled", []string{"Warning ImagePullBackOff"}},
		{"ImagePullBackOff: the image x of container server cannot be pulled", nil},
		{"OOMKilled: container server needs more memory than its limit", []string{"Warning OOMKilled"}},
		{"", nil},
		{"OOMKilled: container server needs more memory than its limit", []string{"Warning OOMKilled"}},
	} {
		after := report.Status(bot, state(step.problem), nil)
		var got []string
		for _, e := range report.Events(&bot.Status, &after) {
			got = append(got, e.Type+" "+e.Reason)
		}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("step %d: %s", i, diff)
		}
		bot.Status = after
	}
}

func TestStatus_SummaryFitsALine(t *testing.T) {
	for name, c := range map[string]struct {
		state *observe.State
		want  string
	}{
		"all is well": {healthy(), "1/1 replicas serve https://bot.example.com/wechat"},
		"one thing is wrong": {healthy(func(s *observe.State) { s.Children.Deployment.Status = appsv1.DeploymentStatus{} }),
			"waiting for the pods of Deployment winter"},
		"two things are wrong": {healthy(func(s *observe.State) {
			s.Children.Deployment.Status = appsv1.DeploymentStatus{}
			s.Dify = observe.Dify{Asked: true, Err: errors.New("x")}
		}), "spec.dify.baseURL: x (and 1 more)"},
		"a long one": {healthy(func(s *observe.State) {
			s.Children.Deployment.Status, s.PodProblem = appsv1.DeploymentStatus{}, "Unschedulable: "+strings.Repeat("é", 300)
		}), "Unschedulable: " + strings.Repeat("é", 84) + "…"},
	} {
		if got := report.Status(winter(), c.state, nil).Summary; got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// Ready waits for servers of another template until nobody sends them pushes any more.
func TestAvailable_WaitsForTheServersOfBefore(t *testing.T) {
	leaving := healthy(func(s *observe.State) { s.Leaving = now.Add(3 * time.Second) })
	status := report.Status(winter(), leaving, nil)
	if got := ready(status); !strings.Contains(got, "waiting for those of before") {
		t.Errorf("Ready is %s", got)
	}
	if got := report.Recheck(report.DefaultWaits(), winter(), &status, leaving); got != 3*time.Second {
		t.Errorf("looked at again in %s", got)
	}
	leaving.Now = leaving.Leaving
	if got := ready(report.Status(winter(), leaving, nil)); !strings.HasPrefix(got, "True") {
		t.Errorf("later Ready is %s", got)
	}
}

func TestRecheck(t *testing.T) {
	waits := report.DefaultWaits()
	calm := report.Status(winter(), healthy(), nil)
	resync := report.Recheck(waits, winter(), &calm, healthy())
	if resync > time.Minute || resync < 45*time.Second {
		t.Errorf("a deleted Secret is noticed after %s", resync)
	}
	for name, c := range map[string]struct {
		state *observe.State
		err   error
		want  time.Duration
	}{
		"calm":             {healthy(), nil, resync},
		"Dify is asked":    {healthy(func(s *observe.State) { s.Dify = observe.Dify{Pending: now} }), nil, resync},
		"Dify is down":     {healthy(func(s *observe.State) { s.Dify.Err = errors.New("away") }), nil, resync},
		"a Secret":         {healthy(func(s *observe.State) { s.Secrets = make([]observe.SecretProblem, 1) }), nil, 15 * time.Second},
		"a pod starts":     {healthy(func(s *observe.State) { s.StartLook = s.Now.Add(20 * time.Second) }), nil, 20 * time.Second},
		"a name is taken":  {healthy(), &apply.NotOursError{}, resync},
		"nothing was seen": {nil, apierrors.NewInternalError(errors.New("x")), time.Minute},
	} {
		status := report.Status(winter(), c.state, c.err)
		if got := report.Recheck(waits, winter(), &status, c.state); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// Whatever is found, the conditions keep to kstatus' rules, and the same state is reported in the same words.
func TestAnyStateIsReportedWell(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := func(name string, most int) int { return rapid.IntRange(0, most).Draw(t, name) }
		state := healthy(func(s *observe.State) {
			if n("secrets", 3) == 0 {
				s.Secrets = []observe.SecretProblem{{Reason: []string{v1alpha1.ReasonSecretNotFound, v1alpha1.ReasonSecretKeyMissing}[n("reason", 1)]}}
			}
			s.Dify.Asked, s.Dify.Changed = n("asked", 1) == 0, n("changed", 1) == 0
			s.Dify.App.Mode = rapid.SampledFrom([]string{"", "chat", "workflow"}).Draw(t, "mode")
			s.Children.Deployment.Status.AvailableReplicas = int32(n("available", 1))
			s.GatewayAPI, s.PodProblem = n("gateway", 1) == 0, rapid.SampledFrom([]string{"", "OOMKilled: x"}).Draw(t, "problem")
			s.Class = observe.Class(n("class", 3))
		})
		bot := winter(func(b *v1alpha1.WechatBot) {
			b.Spec.Ingress = nil
			if n("route", 1) == 0 {
				b.Spec.Gateway = &v1alpha1.Gateway{ParentRefs: []v1alpha1.ParentRef{{Name: "public"}}}
			}
			if n("redis", 1) == 0 {
				b.Spec.Session.Type = v1alpha1.SessionRedis
			}
		})
		err := rapid.SampledFrom([]error{nil, nil, &apply.NotOursError{}, &desired.InvalidError{Reason: "InvalidSpec", Message: "x"}}).Draw(t, "err")
		bot.Status = report.Status(bot, state, err)
		if again := report.Status(bot, state, err); !cmp.Equal(bot.Status, again) {
			t.Fatalf("a second look says something else:\n%s", cmp.Diff(bot.Status, again))
		}
		is := func(c string) bool { return meta.IsStatusConditionTrue(bot.Status.Conditions, c) }
		if is("Reconciling") && is("Stalled") || is("Ready") == (is("Reconciling") || is("Stalled")) {
			t.Fatalf("the conditions are %v", bot.Status.Conditions)
		}
	})
}

// Every reason that a condition can have is explained to users, and no other is.
func TestTroubleshootingKnowsEveryReason(t *testing.T) {
	constants, err := os.ReadFile(filepath.Join("..", "..", "api", "v1alpha1", "conditions.go"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "troubleshooting.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(doc), "\n## Conditions and events\n")
	table, _, _ = strings.Cut(table, "\n## ")
	find := func(pattern, in string) (names []string) {
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(in, -1) {
			names = append(names, m[1])
		}
		slices.Sort(names)
		return names
	}
	reasons := find(`Reason\w+\s+= "(\w+)"`, string(constants))
	if len(reasons) < 30 {
		t.Fatalf("only %d reasons found", len(reasons))
	}
	if diff := cmp.Diff(reasons, find("(?m)^\\| `(\\w+)` \\|", table)); diff != "" {
		t.Errorf("docs/troubleshooting.md has other reasons (-api/v1alpha1 +documented):\n%s", diff)
	}
}

func TestKnownOfDify(t *testing.T) {
	bot := winter()
	bot.Status = report.Status(bot, healthy(), nil)
	good := healthy().Dify
	for name, c := range map[string]struct {
		bot    func(*v1alpha1.WechatBot)
		answer func(*observe.Dify)
		known  bool
	}{
		"the same":         {func(*v1alpha1.WechatBot) {}, func(*observe.Dify) {}, true},
		"a failure":        {func(*v1alpha1.WechatBot) {}, func(d *observe.Dify) { d.Err = errors.New("x") }, false},
		"another name":     {func(*v1alpha1.WechatBot) {}, func(d *observe.Dify) { d.App.AppName = "Summer" }, false},
		"another release":  {func(*v1alpha1.WechatBot) {}, func(d *observe.Dify) { d.App.Version = "2" }, false},
		"a missing input":  {func(*v1alpha1.WechatBot) {}, func(d *observe.Dify) { d.Missing = []string{"city"} }, false},
		"a changed bot":    {func(b *v1alpha1.WechatBot) { b.Generation++ }, func(*observe.Dify) {}, false},
		"the first answer": {func(b *v1alpha1.WechatBot) { b.Status = v1alpha1.WechatBotStatus{} }, func(*observe.Dify) {}, false},
		"no answer":        {func(*v1alpha1.WechatBot) {}, func(d *observe.Dify) { *d = observe.Dify{} }, false},
		"a failure that lasts": {func(b *v1alpha1.WechatBot) {
			b.Status = report.Status(b, healthy(func(s *observe.State) { s.Dify.Err = errors.New("x") }), nil)
		}, func(d *observe.Dify) { d.Err = errors.New("x") }, true},
		"a failure with another cause": {func(b *v1alpha1.WechatBot) {
			b.Status = report.Status(b, healthy(func(s *observe.State) { s.Dify.Err = errors.New("x") }), nil)
		}, func(d *observe.Dify) { d.Err = errors.New("y") }, false},
	} {
		one, answer := bot.DeepCopy(), good
		c.bot(one)
		c.answer(&answer)
		if got := report.KnownOfDify(one, answer); got != c.known {
			t.Errorf("%s: known is %v", name, got)
		}
	}
}
