package observe

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/server/dify"
)

// cluster has the bots and Secrets of a test.
type cluster struct {
	client.Reader

	mu      sync.Mutex
	bots    map[types.NamespacedName]*v1alpha1.WechatBot
	keys    map[types.NamespacedName]string
	secrets atomic.Int64 // that were read
}

func (c *cluster) Get(_ context.Context, key client.ObjectKey, o client.Object, _ ...client.GetOption) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch o := o.(type) {
	case *v1alpha1.WechatBot:
		if bot, ok := c.bots[key]; ok {
			bot.DeepCopyInto(o)
			return nil
		}
	case *corev1.Secret:
		c.secrets.Add(1)
		if content, ok := c.keys[key]; ok {
			o.Data = map[string][]byte{"key": []byte(content)}
			return nil
		}
	}
	return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
}

// bot makes a bot with a Secret of its own.
func (c *cluster) bot(namespace, name, baseURL, key string) *v1alpha1.WechatBot {
	c.mu.Lock()
	defer c.mu.Unlock()
	bot := &v1alpha1.WechatBot{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	bot.Spec.Dify = v1alpha1.Dify{BaseURL: baseURL, APIKeySecretRef: v1alpha1.SecretKeyRef{Name: name, Key: "key"}}
	c.bots[client.ObjectKeyFromObject(bot)] = bot
	c.keys[client.ObjectKeyFromObject(bot)] = key
	return bot
}

func (c *cluster) remove(bot *v1alpha1.WechatBot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.bots, client.ObjectKeyFromObject(bot))
}

// rig is a running Prober.
type rig struct {
	*Prober

	cluster    *cluster
	answered   chan string
	reconciles atomic.Int64
}

// start runs a Prober with as many workers as the operator's has, until the test ends.
func start(t *testing.T) *rig {
	t.Helper()
	r := &rig{
		cluster:  &cluster{bots: map[types.NamespacedName]*v1alpha1.WechatBot{}, keys: map[types.NamespacedName]string{}},
		answered: make(chan string, 1<<16),
	}
	r.Prober = NewProber(ProberOptions{
		Bots: r.cluster, Secrets: r.cluster, Now: time.Now, Part: func(d time.Duration) time.Duration { return d / 2 },
		Answered: func(_ context.Context, bot types.NamespacedName, _ Dify) { r.answered <- bot.Name },
	})
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	if err := r.Source().Start(t.Context(), queue); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var workers sync.WaitGroup
	for range ProbeWorkers {
		workers.Go(func() {
			for {
				req, end := queue.Get()
				if end {
					return
				}
				result, err := r.Reconcile(ctx, req)
				r.reconciles.Add(1)
				if err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				if result.RequeueAfter > 0 {
					queue.AddAfter(req, result.RequeueAfter)
				}
				queue.Done(req)
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		queue.ShutDown()
		workers.Wait()
	})
	return r
}

// look does what a reconcile of the bot does.
func (r *rig) look(bot *v1alpha1.WechatBot) Dify {
	r.cluster.mu.Lock()
	key := r.cluster.keys[client.ObjectKeyFromObject(bot)]
	r.cluster.mu.Unlock()
	return r.Look(bot, serverconfig.Secret(key), nil)
}

func (r *rig) wait(t *testing.T, bot string) {
	t.Helper()
	if got := <-r.answered; got != bot {
		t.Fatalf("an answer about %s, want %s", got, bot)
	}
}

// network is what probes of a test call, in its own clock: no socket.
type network func(*http.Request) (*http.Response, error)

// app answers as a Dify does.
func app(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/info") {
		return answer(http.StatusOK, `{"name": "Winter", "mode": "chat"}`), nil
	}
	return answer(http.StatusOK, `{"user_input_form": [{"text-input": {"variable": "city", "required": false}}]}`), nil
}

func answer(status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)),
	}
}

func (n network) RoundTrip(r *http.Request) (*http.Response, error) { return n(r) }

// use has all probes of the test go to the network.
func (r *rig) use(n network) { r.transport = n }

func TestProber_AsksOnChangeAndInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t)
		var calls atomic.Int64
		good := atomic.Bool{}
		good.Store(true)
		r.use(func(q *http.Request) (*http.Response, error) {
			if strings.HasSuffix(q.URL.Path, "/info") {
				calls.Add(1)
			}
			if q.Header.Get("Authorization") != "Bearer app-good" || !good.Load() {
				return answer(http.StatusUnauthorized, `{"code": "unauthorized"}`), nil
			}
			return app(q)
		})
		bot := r.cluster.bot("bots", "winter", "http://dify/v1", "app-good")
		if d := r.Look(bot, "", nil); d.Asked || !d.Changed {
			t.Errorf("without a key it says %+v", d)
		}
		if d := r.look(bot); d.Asked || d.Changed || d.Pending.IsZero() {
			t.Errorf("at first it says %+v", d)
		}
		r.wait(t, "winter")
		if d := r.look(bot); !d.Asked || d.Err != nil || !d.Confirmed || d.App.AppName != "Winter" {
			t.Errorf("a good key gives %+v", d)
		}
		time.Sleep(10*time.Minute - time.Second)
		synctest.Wait()
		if n := calls.Load(); n != 1 {
			t.Errorf("asked %d times before the answer is old", n)
		}
		time.Sleep(time.Second)
		r.wait(t, "winter")
		if n := calls.Load(); n != 2 {
			t.Errorf("asked %d times after ten minutes", n)
		}

		// Once it was well, a failure is one of a Dify that was well.
		good.Store(false)
		time.Sleep(10 * time.Minute)
		r.wait(t, "winter")
		if d := r.look(bot); d.Err == nil || d.Changed || !d.Confirmed {
			t.Errorf("a key that is refused from some day on gives %+v", d)
		}
		good.Store(true)
		time.Sleep(2 * time.Second)
		r.wait(t, "winter")

		// Another key is another question.
		r.cluster.bot("bots", "winter", "http://dify/v1", "app-bad")
		if d := r.look(bot); d.Asked || !d.Changed || d.Confirmed {
			t.Errorf("another key gives %+v", d)
		}
		r.wait(t, "winter")
		if d := r.look(bot); d.kind() != dify.Unauthorized || !d.Changed || d.Confirmed {
			t.Errorf("a bad key gives %+v", d)
		}
		before := calls.Load()
		for _, seconds := range []int{2, 5, 15, 60, 60} {
			time.Sleep(time.Duration(seconds) * time.Second)
			r.wait(t, "winter")
		}
		if n := calls.Load() - before; n != 5 {
			t.Errorf("tried %d times in 142 s, want after 2, 5, 15, 60, 60 s", n)
		}
		r.cluster.remove(bot)
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := calls.Load() - before; n != 5 || len(r.known) != 0 || len(r.hosts) != 0 {
			t.Errorf("of a bot that is gone: %d calls, %v, %v", n-5, r.known, r.hosts)
		}
	})
}

// After a start a bot that was well waits for a while, so that the others come first; any other is asked at once.
func TestProber_StatusOfBeforeTheStart(t *testing.T) {
	condition := func(status metav1.ConditionStatus, generation int64) []metav1.Condition {
		return []metav1.Condition{{Type: v1alpha1.ConditionDifyReachable, Status: status, ObservedGeneration: generation}}
	}
	for name, row := range map[string]struct {
		conditions []metav1.Condition
		after      time.Duration
	}{
		"nothing is known":        {nil, 0},
		"it was well":             {condition(metav1.ConditionTrue, 2), 30 * time.Second},
		"it was not well":         {condition(metav1.ConditionFalse, 2), 0},
		"it was not asked":        {condition(metav1.ConditionUnknown, 2), 0},
		"another spec was well":   {condition(metav1.ConditionTrue, 1), 0},
		"another condition is so": {[]metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, ObservedGeneration: 2}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t)
				r.use(app)
				bot := r.cluster.bot("bots", "winter", oneHost, "app-good")
				bot.Generation, bot.Status.Conditions = 2, row.conditions
				began := time.Now()
				for range 3 { // further looks hasten nothing
					if d := r.look(bot); d.Asked || d.Changed {
						t.Errorf("before an answer there is %+v", d)
					}
				}
				r.wait(t, "winter")
				if after := time.Since(began); after != row.after {
					t.Errorf("asked after %v, want %v", after, row.after)
				}
				if d := r.look(bot); !d.Asked || !d.Confirmed {
					t.Errorf("the answer is %+v", d)
				}
			})
		})
	}
}

// A key that was changed in the meantime is asked for at once.
func TestProber_ChangedKeyDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t)
		r.use(app)
		bot := r.cluster.bot("bots", "winter", oneHost, "app-good")
		bot.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionDifyReachable, Status: metav1.ConditionTrue}}
		began := time.Now()
		r.look(bot)
		r.cluster.bot("bots", "winter", oneHost, "app-other")
		r.look(bot)
		r.wait(t, "winter")
		if after := time.Since(began); after != 0 {
			t.Errorf("asked after %v", after)
		}
	})
}

// A Dify that starts a second later is no failure, and neither is a hiccup.
func TestProber_FirstFailureThatPassesIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t)
		var refuse atomic.Bool
		refuse.Store(true)
		r.use(func(q *http.Request) (*http.Response, error) {
			if refuse.Load() {
				return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
			}
			return app(q)
		})
		bot := r.cluster.bot("bots", "winter", "http://dify/v1", "app-good")
		r.look(bot)
		time.Sleep(time.Second)
		if d := r.look(bot); d.Asked {
			t.Errorf("after one refused connection it says %+v", d)
		}
		refuse.Store(false)
		time.Sleep(time.Second)
		synctest.Wait()
		if d := r.look(bot); !d.Asked || d.Err != nil {
			t.Errorf("two seconds after a refused connection it says %+v", d)
		}
		refuse.Store(true)
		time.Sleep(10*time.Minute + time.Second)
		if d := r.look(bot); d.Err != nil {
			t.Errorf("one failure is told: %v", d.Err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if d := r.look(bot); d.kind() != dify.ConnectionRefused || !d.Confirmed {
			t.Errorf("two failures give %+v", d)
		}
	})
}

// A key that changes while the old one is asked about: the answer about the old one is nobody's.
func TestProber_AnswerAboutAnOldKeyIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t)
		r.use(func(q *http.Request) (*http.Response, error) {
			if q.Header.Get("Authorization") == "Bearer app-old" {
				time.Sleep(5 * time.Second)
				return answer(http.StatusUnauthorized, `{"code": "unauthorized"}`), nil
			}
			return app(q)
		})
		bot := r.cluster.bot("bots", "winter", "http://dify/v1", "app-old")
		r.look(bot)
		time.Sleep(time.Second)
		r.cluster.bot("bots", "winter", "http://dify/v1", "app-new")
		r.look(bot)
		r.wait(t, "winter")
		if d := r.look(bot); d.Err != nil || !d.Asked || d.Changed {
			t.Errorf("the new key gives %+v", d)
		}
		time.Sleep(5 * time.Minute)
		if d := r.look(bot); d.Err != nil {
			t.Errorf("later it gives %+v", d)
		}
	})
}

// hang answers nothing until its caller gives up.
func hang(q *http.Request) (*http.Response, error) {
	<-q.Context().Done()
	return nil, q.Context().Err()
}

// However many bots and hosts hang, another host's bot is asked at once.
func TestProber_HangingDifyDelaysNoOtherHost(t *testing.T) {
	for _, hanging := range []int{1, 50} { // hosts
		t.Run(fmt.Sprint(hanging, " hosts"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t)
				r.use(func(q *http.Request) (*http.Response, error) {
					if strings.HasPrefix(q.URL.Host, "hang") {
						return hang(q)
					}
					return app(q)
				})
				for i := range 1000 {
					r.look(r.cluster.bot("a", fmt.Sprint("bot", i), fmt.Sprintf("http://hang%d/v1", i%hanging), "app-a"))
				}
				synctest.Wait() // all workers that can be held are
				began := time.Now()
				r.look(r.cluster.bot("b", "good", "http://good/v1", "app-b"))
				r.wait(t, "good")
				if took := time.Since(began); took > 0 {
					t.Errorf("the healthy Dify was asked after %s", took)
				}
			})
		})
	}
}

// One Dify for a thousand bots is a black hole: each learns of it soon, and then is asked about once a minute at most.
func TestProber_ThousandBotsBehindOneDeadDify(t *testing.T) {
	const bots = 1000
	for name, dead := range map[string]network{
		"it hangs": hang,
		"it refuses": func(*http.Request) (*http.Response, error) {
			return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t)
				var calls, busy, most atomic.Int64
				r.use(func(q *http.Request) (*http.Response, error) {
					calls.Add(1)
					most.Store(max(most.Load(), busy.Add(1)))
					defer busy.Add(-1)
					return dead(q)
				})
				for i := range bots {
					r.look(r.cluster.bot("a", fmt.Sprint("bot", i), "http://dify/v1", "app-k"))
				}
				time.Sleep(45 * time.Second)
				synctest.Wait()
				told := map[string]bool{}
				for len(r.answered) > 0 {
					told[<-r.answered] = true
				}
				if len(told) != bots {
					t.Errorf("%d of %d bots know it after 45 s", len(told), bots)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				calls.Store(0)
				reconciles, secrets := r.reconciles.Load(), r.cluster.secrets.Load()
				time.Sleep(3 * time.Minute)
				synctest.Wait()
				reconciles, secrets = r.reconciles.Load()-reconciles, r.cluster.secrets.Load()-secrets
				t.Logf("in three minutes: %d calls, %d passes, %d Secrets read", calls.Load(), reconciles, secrets)
				if n := calls.Load(); n == 0 || n > 3*bots {
					t.Errorf("%d calls in three minutes, at most one a minute and bot is right", n)
				}
				if reconciles > 3*3*bots || secrets > 3*bots {
					t.Errorf("%d passes and %d Secrets read in three minutes", reconciles, secrets)
				}
				if most.Load() > probesPerHost {
					t.Errorf("%d probes of one host at once", most.Load())
				}
			})
		})
	}
}

// A server that says yes to everything is not Dify.
func TestProber_AnswerToEverythingIsNotDify(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"ok":true}`)
	}))
	defer server.Close()
	d, _ := ask(t.Context(), server.URL, "app-key", nil, nil)
	if d.kind() != dify.BadResponse {
		t.Errorf("it counts as %+v", d)
	}
}
