package observe

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPodProblem(t *testing.T) {
	waiting := func(reason string) corev1.ContainerState {
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "back-off 40s for pod 1234"}}
	}
	ended := &corev1.ContainerStateTerminated{Reason: "OOMKilled"}
	for name, c := range map[string]struct {
		status corev1.PodStatus
		want   string
	}{
		"starting":        {corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{State: waiting("ContainerCreating")}}}, ""},
		"ready":           {corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}, ""},
		"no node":         {corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Reason: "Unschedulable"}}}, "Unschedulable"},
		"pulling":         {corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "server", Image: "x", State: waiting("ErrImagePull")}}}, "ImagePullBackOff: the image x of container server cannot be pulled"},
		"backing off":     {corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "server", Image: "x", State: waiting("ImagePullBackOff")}}}, "ImagePullBackOff: the image x of container server cannot be pulled"},
		"bad config":      {corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "server", State: waiting("CreateContainerConfigError")}}}, "CreateContainerConfigError"},
		"crashing":        {corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "server", RestartCount: 3, State: waiting("CrashLoopBackOff")}}}, "CrashLoopBackOff: container server ends by itself"},
		"running again":   {corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "server", RestartCount: 3, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}}, "CrashLoopBackOff"},
		"out of memory":   {corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "server", RestartCount: 1, LastTerminationState: corev1.ContainerState{Terminated: ended}}}}, "OOMKilled"},
		"init, first end": {corev1.PodStatus{InitContainerStatuses: []corev1.ContainerStatus{{Name: "init", State: corev1.ContainerState{Terminated: ended}}}}, "OOMKilled: container init"},
		"ready container": {corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Ready: true, RestartCount: 7}}}, ""},
	} {
		got := PodProblem(&corev1.Pod{Status: c.status})
		if !strings.HasPrefix(got, c.want) || c.want == "" && got != "" || strings.Contains(got, "1234") {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	leaving := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: new(metav1.Now())}, Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{RestartCount: 1}}}}
	if got := PodProblem(leaving); got != "" {
		t.Errorf("a pod that ends has the problem %q", got)
	}
}

func TestASecretIsReadAsTheServerReadsIt(t *testing.T) {
	secret := func(content string) *corev1.Secret {
		return &corev1.Secret{Data: map[string][]byte{"k": []byte(content)}}
	}
	ref := func(file string) desired.SecretRef {
		return desired.SecretRef{SecretKeyRef: v1alpha1.SecretKeyRef{Name: "s", Key: "k"}, File: file}
	}
	for name, c := range map[string]struct {
		secret *corev1.Secret
		file   string
		reason string
	}{
		"a token":                       {secret("wintertoken"), desired.FileToken, ""},
		"a newline at the end":          {secret("wintertoken\r\n"), desired.FileToken, ""},
		"no Secret":                     {nil, desired.FileToken, v1alpha1.ReasonSecretNotFound},
		"no key":                        {&corev1.Secret{}, desired.FileToken, v1alpha1.ReasonSecretKeyMissing},
		"an empty one":                  {secret("\n"), desired.FileToken, v1alpha1.ReasonSecretMalformed},
		"a long token":                  {secret(strings.Repeat("a", 33)), desired.FileToken, v1alpha1.ReasonSecretMalformed},
		"a key with a space":            {secret("app key"), desired.FileDifyAPIKey, v1alpha1.ReasonSecretMalformed},
		"an AES key":                    {secret(strings.Repeat("a", 43)), desired.FileEncodingAESKey, ""},
		"a short AES key":               {secret("a"), desired.FileEncodingAESKey, v1alpha1.ReasonSecretMalformed},
		"an AppSecret with a space":     {secret("a b"), desired.FileAppSecret, v1alpha1.ReasonSecretMalformed},
		"an AppSecret":                  {secret("0f1e2d3c4b5a69788796a5b4c3d2e1f0\n"), desired.FileAppSecret, ""},
		"a CA":                          {secret("no PEM"), desired.FileRedisCA, v1alpha1.ReasonSecretMalformed},
		"a password of any kind":        {secret("ä ö"), desired.FileRedisPassword, ""},
		"a password beyond all measure": {secret(strings.Repeat("a", serverconfig.MaxSecretBytes+1)), desired.FileRedisPassword, v1alpha1.ReasonSecretMalformed},
	} {
		_, problem := resolve(c.secret, ref(c.file))
		if problem == nil && c.reason != "" || problem != nil && problem.Reason != c.reason {
			t.Errorf("%s: got %+v, want %q", name, problem, c.reason)
		}
	}
	if certificate(&corev1.Secret{Data: map[string][]byte{"tls.crt": []byte("x")}}) != nil {
		t.Error("a certificate was read from nothing")
	}
}

// prober is a Prober under test, on a clock that the test moves.
type prober struct {
	*Prober

	now      atomic.Int64
	answered chan types.NamespacedName
}

func newTestProber(t *testing.T) *prober {
	t.Helper()
	p := &prober{answered: make(chan types.NamespacedName, 8)}
	p.Prober = NewProber(ProberOptions{
		Now:      func() time.Time { return time.Unix(p.now.Load(), 0) },
		Answered: func(_ context.Context, bot types.NamespacedName, _ Dify) { p.answered <- bot },
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return p
}

func TestTheProberAsksOnChangeAndInTime(t *testing.T) {
	sim := difysim.New(difysim.Options{Key: "app-good", AppName: "Winter"})
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/info") {
			asked.Add(1)
		}
		sim.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { server.Close(); sim.Close() })
	p := newTestProber(t)
	bot := probeTarget{bot: types.NamespacedName{Namespace: "bots", Name: "winter"}, baseURL: server.URL}
	look := func(key serverconfig.Secret) Dify { return p.Look(bot, key) }

	if d := look(""); d.Asked || !d.Changed {
		t.Errorf("without a key it says %+v", d)
	}
	if d := look("app-good"); d.Asked || d.Changed {
		t.Errorf("at first it says %+v", d)
	}
	<-p.answered
	d := look("app-good")
	if !d.Asked || d.Err != nil || d.App.AppName != "Winter" || !d.Next.Equal(time.Unix(600, 0)) {
		t.Errorf("a good key gives %+v", d)
	}
	p.now.Store(599)
	look("app-good")
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times before the answer is old", n)
	}
	p.now.Store(600)
	if d := look("app-good"); !d.Asked {
		t.Error("an old answer is gone before there is a new one")
	}
	<-p.answered

	if d := look("app-bad"); d.Asked || !d.Changed {
		t.Errorf("another key gives %+v", d)
	}
	<-p.answered
	d = look("app-bad")
	if e, ok := d.Err.(*dify.Error); !ok || e.Kind != dify.Unauthorized || !d.Next.Equal(time.Unix(660, 0)) {
		t.Errorf("a bad key gives %+v", d)
	}
	p.Forget(bot.bot)
	if d := look("app-good"); d.Asked || d.Changed {
		t.Errorf("a forgotten bot gives %+v", d)
	}
	<-p.answered
}

func TestAFirstAnswerIsAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewProber(ProberOptions{Now: time.Now, Answered: func(context.Context, types.NamespacedName, Dify) {}})
		bot := &v1alpha1.WechatBot{ObjectMeta: metav1.ObjectMeta{Name: "winter"}}
		d := p.Look(target(bot), "app-key")
		began := time.Now()
		p.Await(t.Context(), bot, &d, time.Second) // nobody answers: the Prober is not started
		if d.Asked || time.Since(began) != time.Second {
			t.Errorf("after %s it says %+v", time.Since(began), d)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		p.Await(ctx, bot, &d, time.Second)
		if time.Since(began) != time.Second {
			t.Error("it waits although its context has ended")
		}
		none := Dify{}
		p.Await(t.Context(), bot, &none, time.Second)
	})
}

func TestAnExpectedAnswerWakesNobody(t *testing.T) {
	sim := difysim.New(difysim.Options{Key: "app-good", AppName: "Winter"})
	server := httptest.NewServer(sim)
	t.Cleanup(func() { server.Close(); sim.Close() })
	var woken []string
	p := NewProber(ProberOptions{Now: time.Now, Answered: func(_ context.Context, bot types.NamespacedName, d Dify) {
		woken = append(woken, bot.Name+" "+d.App.AppName)
	}})
	look := func(name string) (*v1alpha1.WechatBot, Dify) {
		bot := &v1alpha1.WechatBot{ObjectMeta: metav1.ObjectMeta{Name: name}}
		bot.Spec.Dify.BaseURL = server.URL
		return bot, p.Look(target(bot), "app-good")
	}
	expected, answer := look("expected")
	p.Expect(expected)
	look("unexpected")
	again, _ := look("looked at again")
	p.Expect(again)
	look("looked at again") // the reconcile that expected it has failed
	late, slow := look("late")
	p.Expect(late)
	p.Await(t.Context(), late, &slow, time.Nanosecond)
	for range 4 {
		p.answer(t.Context(), <-p.queue)
	}
	p.Await(t.Context(), expected, &answer, time.Minute)
	if want := []string{"unexpected Winter", "looked at again Winter", "late Winter"}; !slices.Equal(woken, want) {
		t.Errorf("woken are %q, want %q", woken, want)
	}
	if answer.App.AppName != "Winter" {
		t.Errorf("the awaited answer is %+v", answer)
	}
}

func TestWhatIsOnItsWayIsNotWaitedForByLooking(t *testing.T) {
	now := time.Unix(0, 0)
	p := NewProber(ProberOptions{Now: func() time.Time { return now }, Up: time.Hour, Down: time.Minute})
	bot := probeTarget{bot: types.NamespacedName{Name: "winter"}}
	if d := p.Look(bot, "app-key"); !d.Next.Equal(now.Add(time.Hour)) {
		t.Errorf("the first is asked again at %s", d.Next)
	}
	for name, c := range map[string]struct {
		old  Dify
		want time.Time
	}{
		"a good answer": {Dify{}, now.Add(time.Hour)},
		"no answer":     {Dify{Err: context.DeadlineExceeded}, now},
		"a workflow":    {Dify{App: v1alpha1.DifyStatus{Mode: "workflow"}}, now},
	} {
		c.old.Asked, c.old.Next = true, now
		p.known[bot.bot].dify = c.old
		if d := p.Look(bot, "app-key"); !d.Next.Equal(c.want) {
			t.Errorf("%s that is too old is looked at again at %s, want %s", name, d.Next, c.want)
		}
	}
}
