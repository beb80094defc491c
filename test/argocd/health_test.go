// Package argocd runs the health script for Argo CD by a Lua interpreter of Argo CD's kind, over statuses that the operator's own
// code reports.
package argocd

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	lua "github.com/yuin/gopher-lua"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/apply"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
	"github.com/wechatbot/wechatbot-operator/controllers/observe"
	"github.com/wechatbot/wechatbot-operator/controllers/report"
)

func script(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", "config", "argocd", "health.lua"))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// health runs the script for a bot, with the libraries that Argo CD gives it.
func health(t *testing.T, bot *v1alpha1.WechatBot) (status, message string) {
	t.Helper()
	l := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer l.Close()
	for name, open := range map[string]lua.LGFunction{lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable, lua.StringLibName: lua.OpenString} {
		if err := l.CallByParam(lua.P{Fn: l.NewFunction(open), Protect: true}, lua.LString(name)); err != nil {
			t.Fatal(err)
		}
	}
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(bot)
	if err != nil {
		t.Fatal(err)
	}
	l.SetGlobal("obj", value(l, object))
	if err := l.DoString(script(t)); err != nil {
		t.Fatal(err)
	}
	answer, is := l.Get(-1).(*lua.LTable)
	if !is {
		t.Fatalf("the script gives %v", l.Get(-1))
	}
	return answer.RawGetString("status").String(), answer.RawGetString("message").String()
}

// value makes a Lua value of one of JSON's.
func value(l *lua.LState, v any) lua.LValue {
	switch v := v.(type) {
	case map[string]any:
		table := l.NewTable()
		for key, one := range v {
			table.RawSetString(key, value(l, one))
		}
		return table
	case []any:
		table := l.NewTable()
		for _, one := range v {
			table.Append(value(l, one))
		}
		return table
	case string:
		return lua.LString(v)
	case bool:
		return lua.LBool(v)
	case int64:
		return lua.LNumber(v)
	case float64:
		return lua.LNumber(v)
	default:
		return lua.LNil
	}
}

func newBot() *v1alpha1.WechatBot {
	return &v1alpha1.WechatBot{
		ObjectMeta: metav1.ObjectMeta{Name: "winter", Namespace: "bots", Generation: 3},
		Spec:       v1alpha1.WechatBotSpec{Domain: "bot.example.com", Ingress: &v1alpha1.Ingress{Enabled: new(false)}},
	}
}

func well(change ...func(*observe.State)) *observe.State {
	s := &observe.State{
		Now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), Dify: observe.Dify{Asked: true, App: v1alpha1.DifyStatus{AppName: "Winter", Mode: "chat"}},
		Servers: observe.Servers{Asked: true, Pushes: observe.PushesAuthentic},
		Children: observe.Children{Deployment: &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Name: "winter", Generation: 2}, Spec: appsv1.DeploymentSpec{Replicas: new(int32(1))},
			Status: appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1},
		}},
	}
	for i := range s.Children.Sessions {
		s.Children.Sessions[i] = &corev1.ConfigMap{}
	}
	for _, c := range change {
		c(s)
	}
	return s
}

func TestHealth(t *testing.T) {
	reported := func(state *observe.State, err error, change ...func(*v1alpha1.WechatBot)) *v1alpha1.WechatBot {
		bot := newBot()
		for _, c := range change {
			c(bot)
		}
		bot.Status = report.Status(bot, state, err)
		return bot
	}
	suspended := reported(well(), nil)
	suspended.Status = report.Suspended(suspended)
	edited := reported(well(), nil)
	edited.Generation++
	for name, c := range map[string]struct {
		bot           *v1alpha1.WechatBot
		status, words string
	}{
		"a new one":          {newBot(), "Progressing", "has not looked at it yet"},
		"one that is edited": {edited, "Progressing", "has not looked at it yet"},
		"one that is well":   {reported(well(), nil), "Healthy", "1/1 replicas serve"},
		"its URL is not pasted yet": {reported(well(func(s *observe.State) { s.Servers.Pushes = observe.PushesNone }), nil), "Healthy",
			"paste https://bot.example.com/wechat"},
		"the wrong Token": {reported(well(func(s *observe.State) { s.Servers.Pushes = observe.PushesWrongSignature }), nil), "Healthy", "SignatureMismatch"},
		"on its way": {reported(well(func(s *observe.State) { s.Children.Deployment.Status = appsv1.DeploymentStatus{} }), nil), "Progressing",
			"waiting for the pods"},
		"Dify refuses the key": {reported(well(func(s *observe.State) { s.Dify.Err = errors.New("x"); s.Dify.Changed = true }), nil), "Progressing", "x"},
		"the spec is wrong": {reported(well(), &desired.InvalidError{Reason: v1alpha1.ReasonInvalidSpec, Message: "correct spec.x"}), "Degraded",
			"correct spec.x"},
		"a name is taken": {reported(well(), &apply.NotOursError{Kind: "Service", Name: "winter"}), "Degraded", "service/winter"},
		"suspended":       {suspended, "Suspended", "spec.suspend is true"},
		"stopped": {reported(well(func(s *observe.State) {
			s.Children.Deployment.Spec.Replicas, s.Children.Deployment.Status = new(int32(0)), appsv1.DeploymentStatus{ObservedGeneration: 2}
		}), nil, func(b *v1alpha1.WechatBot) { b.Spec.Replicas = new(int32(0)) }), "Suspended", "no webhook server runs"},
	} {
		t.Run(name, func(t *testing.T) {
			status, message := health(t, c.bot)
			if status != c.status || !strings.Contains(message, c.words) {
				t.Errorf("%s: %s, want %s with %q", status, message, c.status, c.words)
			}
		})
	}
}

// docs/gitops.md shows the script.
func TestThePageShowsTheScript(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "gitops.md"))
	if err != nil {
		t.Fatal(err)
	}
	var indented strings.Builder
	for line := range strings.Lines(script(t)) {
		indented.WriteString("    " + line)
	}
	if !strings.Contains(string(page), "  resource.customizations.health.wechatbot.dev_WechatBot: |\n"+indented.String()+"```") {
		t.Error("docs/gitops.md does not show config/argocd/health.lua as it is")
	}
}
