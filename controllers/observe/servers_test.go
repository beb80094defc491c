package observe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/wechatbot/wechatbot-operator/api/serverstatus"
	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

func TestPushTrend(t *testing.T) {
	type came = counts
	for name, c := range map[string]struct {
		was   Pushes
		first came
		later []came
		want  Pushes
	}{
		"nothing":                               {"", came{}, nil, PushesNone},
		"the first push":                        {PushesNone, came{}, []came{{authentic: 1}}, PushesAuthentic},
		"it was connected before a restart":     {PushesAuthentic, came{}, nil, PushesAuthentic},
		"a wrong Token from the start":          {PushesNone, came{wrongSignature: 1}, nil, PushesWrongSignature},
		"the Token is corrected":                {PushesWrongSignature, came{wrongSignature: 7}, []came{{authentic: 1}}, PushesAuthentic},
		"one forged push does not disconnect":   {PushesAuthentic, came{}, []came{{wrongSignature: 2}}, PushesAuthentic},
		"a message is delivered three times":    {PushesAuthentic, came{}, []came{{wrongSignature: 1}, {wrongSignature: 2}}, PushesWrongSignature},
		"forged ones between authentic ones":    {PushesAuthentic, came{}, []came{{wrongSignature: 2}, {authentic: 1}, {wrongSignature: 2}}, PushesAuthentic},
		"another key":                           {PushesAuthentic, came{}, []came{{undecryptable: 1}}, PushesUndecryptable},
		"another key, then another Token":       {PushesUndecryptable, came{}, []came{{wrongSignature: 1}}, PushesWrongSignature},
		"who knows what came last":              {PushesWrongSignature, came{authentic: 9, wrongSignature: 3}, nil, PushesWrongSignature},
		"who knows, and it was connected":       {PushesAuthentic, came{authentic: 9, undecryptable: 3}, nil, PushesAuthentic},
		"some authentic ones, nothing is known": {"", came{authentic: 1, wrongSignature: 30}, nil, PushesAuthentic},
		"servers started again, Token is wrong": {PushesAuthentic, came{wrongSignature: 3}, nil, PushesWrongSignature},
	} {
		var trend pushTrend
		trend.begin(c.was, c.first)
		for _, later := range c.later {
			trend.follow(later)
		}
		if trend.is != c.want {
			t.Errorf("%s: %s, want %s", name, trend.is, c.want)
		}
	}
}

func TestCounts_OfAServerThatStartedAgain(t *testing.T) {
	before := counts{authentic: 5, wrongSignature: 2}
	for now, want := range map[counts]counts{
		{authentic: 7, wrongSignature: 2}: {authentic: 2},
		{authentic: 6, wrongSignature: 1}: {authentic: 6, wrongSignature: 1},
		{}:                                {},
	} {
		if got := now.since(before); got != want {
			t.Errorf("%v: %v, want %v", now, got, want)
		}
	}
}

// What several servers say is one, the same in any order, and bounded whatever they say.
func TestSum(t *testing.T) {
	one := serverstatus.Status{Store: serverstatus.Store{OK: true}, Account: &serverstatus.Account{
		LastErrors:   []serverstatus.CallError{{API: "/b", Errcode: 2}, {API: "/a", Errcode: 1}},
		Addresses:    []string{"203.0.113.9", "203.0.113.7", "no address"},
		Capabilities: serverstatus.Capabilities{CustomerService: serverstatus.No, Menu: serverstatus.Unknown},
	}}
	two := serverstatus.Status{Store: serverstatus.Store{Error: "dial tcp 10.0.0.1:43210->10.0.0.9:6379: connect:\nconnection refused"}, Account: &serverstatus.Account{
		LastErrors:   []serverstatus.CallError{{API: "/a", Errcode: 1}},
		Addresses:    []string{"203.0.113.7"},
		Capabilities: serverstatus.Capabilities{CustomerService: serverstatus.Yes, Menu: serverstatus.No},
		Menu:         &serverstatus.Menu{State: serverstatus.MenuDrifted},
	}}
	want := Servers{
		Asked: true, Pushes: PushesNone, StoreError: "dial tcp 10.0.0.9:6379: connect: connection refused",
		Account: &ServersAccount{
			Errors: []serverstatus.CallError{{API: "/a", Errcode: 1}, {API: "/b", Errcode: 2}}, Addresses: []string{"203.0.113.7", "203.0.113.9"},
			Capabilities: serverstatus.Capabilities{CustomerService: serverstatus.Yes, Menu: serverstatus.No, Media: serverstatus.Unknown, Handover: serverstatus.Unknown},
			Menu:         &serverstatus.Menu{State: serverstatus.MenuDrifted},
		},
	}
	one.Account.Capabilities.Media, one.Account.Capabilities.Handover = serverstatus.Unknown, serverstatus.Unknown
	two.Account.Capabilities.Media = "perhaps"
	for _, answers := range [][]serverAnswer{{{status: one}, {status: two}, {failure: StatusRefused}}, {{failure: StatusNoAnswer}, {status: two}, {status: one}}} {
		if diff := cmp.Diff(want, sum(answers, PushesNone)); diff != "" {
			t.Error(diff)
		}
	}
	if got := sum([]serverAnswer{{failure: StatusRefused}, {failure: StatusNoConnection}}, PushesAuthentic); got.Failure != StatusRefused || got.Pushes != PushesAuthentic {
		t.Errorf("nobody answers: %+v", got)
	}
	much := serverstatus.Status{Account: &serverstatus.Account{}, Store: serverstatus.Store{Error: strings.Repeat("x ", 5000)}}
	for i := range 1000 {
		much.Account.LastErrors = append(much.Account.LastErrors, serverstatus.CallError{Errcode: i})
		much.Account.Addresses = append(much.Account.Addresses, fmt.Sprintf("10.0.%d.%d", i/256, i%256))
	}
	got := sum([]serverAnswer{{status: much}}, PushesNone)
	if len(got.Account.Errors) > maxErrors || len(got.Account.Addresses) > maxAddresses || len(got.StoreError) > 400 {
		t.Errorf("%d errors, %d addresses, %d bytes of the store", len(got.Account.Errors), len(got.Account.Addresses), len(got.StoreError))
	}
}

func TestAskServer(t *testing.T) {
	const good = `{"apiVersion":"v1","pushes":{"authentic":3},"newer":{"field":1}}`
	reply := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = w.Write([]byte(body))
		}
	}
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		want    StatusFailure
	}{
		"good":                 {reply(200, good), ""},
		"before there was one": {reply(404, "404 page not found"), StatusNotServed},
		"an error":             {reply(500, good), StatusUnreadable},
		"no JSON":              {reply(200, "<html>"), StatusUnreadable},
		"another version":      {reply(200, `{"apiVersion":"v2"}`), StatusUnreadable},
		"a wrong type":         {reply(200, `{"apiVersion":"v1","pushes":3}`), StatusUnreadable},
		"too much":             {reply(200, good[:len(good)-1]+`,"x":"`+strings.Repeat("x", statusLimit)+`"}`), StatusUnreadable},
		"without end": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		}, StatusUnreadable},
		"elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/status" {
				http.Redirect(w, r, "/there", http.StatusFound)
				return
			}
			reply(200, good)(w, r)
		}, StatusUnreadable},
		"hung up": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, StatusUnreadable},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(c.handler)
			defer server.Close()
			status, failure := askServer(t.Context(), newStatusClient(nil), server.Listener.Addr().String())
			if failure != c.want {
				t.Errorf("failure %q, want %q", failure, c.want)
			}
			if c.want == "" && status.Pushes.Authentic != 3 {
				t.Errorf("it says %+v", status)
			}
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := l.Addr().String()
		_ = l.Close()
		if _, failure := askServer(t.Context(), newStatusClient(nil), address); failure != StatusRefused {
			t.Errorf("failure %q", failure)
		}
	})
	t.Run("a proxy of the environment is not asked", func(t *testing.T) {
		t.Setenv("HTTP_PROXY", "http://proxy.invalid:3128")
		server := httptest.NewServer(reply(200, good))
		defer server.Close()
		if _, failure := askServer(t.Context(), newStatusClient(nil), server.Listener.Addr().String()); failure != "" {
			t.Errorf("failure %q", failure)
		}
	})
}

// A network policy drops packets, and a server that hangs takes the connection.
func TestAskServer_EndsInTime(t *testing.T) {
	dropped := func(ctx context.Context, network, _ string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, statusConnect)
		defer cancel()
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("i/o timeout")}
	}
	hangs := func(context.Context, string, string) (net.Conn, error) {
		c, server := net.Pipe()
		go func() { _, _ = server.Read(make([]byte, 1<<20)) }()
		return c, nil
	}
	for name, c := range map[string]struct {
		dial func(context.Context, string, string) (net.Conn, error)
		want StatusFailure
		most time.Duration
	}{
		"dropped": {dropped, StatusNoConnection, statusConnect},
		"hangs":   {hangs, StatusNoAnswer, statusTime},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				_, failure := askServer(t.Context(), newStatusClient(c.dial), "10.0.0.1:9090")
				if took := time.Since(began); failure != c.want || took > c.most {
					t.Errorf("failure %q after %s, want %q after %s", failure, took, c.want, c.most)
				}
			})
		})
	}
}

// fleet is a cluster with one bot and servers that a test makes say things.
type fleet struct {
	cluster

	poller *Poller
	pods   []corev1.Pod
	says   func(address string) (serverstatus.Status, error)
	asked  atomic.Int64
	told   []Servers
	next   time.Duration
}

func (f *fleet) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	list.(*corev1.PodList).Items = f.pods
	return nil
}

func (f *fleet) RoundTrip(r *http.Request) (*http.Response, error) {
	f.asked.Add(1)
	status, err := f.says(r.URL.Hostname())
	if err != nil {
		return nil, err
	}
	status.APIVersion = serverstatus.APIVersion
	rec := httptest.NewRecorder()
	_ = json.NewEncoder(rec).Encode(status)
	return rec.Result(), nil
}

var wbot = types.NamespacedName{Namespace: "bots", Name: "winter"}

func newFleet(pods int) *fleet {
	f := &fleet{}
	f.bots = map[types.NamespacedName]*v1alpha1.WechatBot{wbot: {
		ObjectMeta: metav1.ObjectMeta{Name: wbot.Name, Namespace: wbot.Namespace, Generation: 1},
		Status:     v1alpha1.WechatBotStatus{URL: "https://bot.example.com/wechat"},
	}}
	for i := range pods {
		f.pods = append(f.pods, corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("winter-%d", i), UID: types.UID(strconv.Itoa(i)), Labels: naming.Selector(f.bots[wbot])},
			Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: fmt.Sprintf("10.0.0.%d", i+1), ContainerStatuses: []corev1.ContainerStatus{
				{Name: naming.ServerContainer, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},
			}},
		})
	}
	f.poller = NewPoller(PollerOptions{
		Bots: f, Port: 9090, Now: time.Now, Part: func(d time.Duration) time.Duration { return d / 2 },
		Told: func(_ context.Context, _ types.NamespacedName, s Servers) { f.told = append(f.told, s) },
	})
	f.poller.client.Transport = f
	return f
}

// look is what a reconcile of the bot does; poll lets time pass until the next poll, and polls.
func (f *fleet) look() Servers { return f.poller.Look(f.bots[wbot], f.pods) }

func (f *fleet) poll(t *testing.T) {
	t.Helper()
	if wait := f.poller.untilDue(wbot); wait > 0 {
		time.Sleep(wait) // in the bubble
	}
	result, err := f.poller.Reconcile(t.Context(), reconcile.Request{NamespacedName: wbot})
	if err != nil {
		t.Fatal(err)
	}
	f.next = result.RequeueAfter
}

func stored(ok bool, words string) func(string) (serverstatus.Status, error) {
	return func(string) (serverstatus.Status, error) {
		return serverstatus.Status{Store: serverstatus.Store{OK: ok, Error: words}}, nil
	}
}

func TestPoller_TellsWhatLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(2)
		f.says = stored(true, "")
		if s := f.look(); s.Asked {
			t.Errorf("before the first poll: %+v", s)
		}
		if wait := f.poller.untilDue(wbot); wait > 5*time.Second {
			t.Errorf("a new bot is polled after %s", wait)
		}
		f.poll(t)
		if len(f.told) != 1 || !f.told[0].Asked || f.told[0].Pushes != PushesNone || f.asked.Load() != 2 {
			t.Fatalf("the first poll tells %+v, after %d questions", f.told, f.asked.Load())
		}
		if f.next < 50*time.Second || f.next > time.Minute {
			t.Errorf("the next poll is after %s", f.next)
		}
		for range 5 {
			f.poll(t)
		}
		f.says = stored(false, "away")
		f.poll(t)
		if len(f.told) != 1 || f.next > 5*time.Second {
			t.Fatalf("told at once, or looked at again after %s: %+v", f.next, f.told)
		}
		f.says = stored(true, "") // it passes
		f.poll(t)
		if len(f.told) != 1 || f.next < 50*time.Second {
			t.Fatalf("what has passed is told: %+v", f.told)
		}
		f.says = stored(false, "away")
		f.poll(t)
		f.poll(t)
		if len(f.told) != 2 || f.look().StoreError != "away" {
			t.Fatalf("what lasts is not told: %+v", f.told)
		}
		var n atomic.Int64
		f.says = func(string) (serverstatus.Status, error) { return stored(false, fmt.Sprint("try ", n.Add(1)))("") }
		for range 6 {
			f.poll(t)
		}
		if len(f.told) != 2 {
			t.Fatalf("words that are others each time are told: %+v", f.told)
		}
		f.says = stored(false, "wrong password")
		for range 3 {
			f.poll(t)
		}
		if len(f.told) != 3 || f.look().StoreError != "wrong password" {
			t.Fatalf("another cause is not told: %+v", f.told)
		}
	})
}

func TestPoller_ServersThatCannotBeReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(2)
		one := stored(true, "")
		f.says = func(address string) (serverstatus.Status, error) {
			if address == "10.0.0.1" {
				return one("")
			}
			return serverstatus.Status{}, &net.OpError{Op: "dial", Err: errors.New("no route to host")}
		}
		f.look()
		f.poll(t)
		if got := f.look(); got.Failure != "" {
			t.Errorf("one of two answers: %+v", got)
		}
		one = func(string) (serverstatus.Status, error) { return serverstatus.Status{}, context.DeadlineExceeded }
		f.poll(t)
		f.poll(t)
		if got := f.look(); got.Failure != StatusNoConnection {
			t.Errorf("none answers: %+v", got)
		}
		// They answer again. What came before still counts.
		f.says = func(string) (serverstatus.Status, error) {
			return serverstatus.Status{Store: serverstatus.Store{OK: true}, Pushes: serverstatus.Pushes{Authentic: 1}}, nil
		}
		f.poll(t)
		f.poll(t)
		if got := f.look(); got.Failure != "" || got.Pushes != PushesAuthentic {
			t.Errorf("all answer: %+v", got)
		}
	})
}

func TestPoller_LooksSoonAtWhatHasChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(1)
		f.says = stored(true, "")
		f.look()
		f.poll(t)
		for name, change := range map[string]func(){
			"the spec": func() { f.bots[wbot].Generation++ },
			"the pods": func() { f.pods[0].UID = "other" },
		} {
			f.look()
			if wait := f.poller.untilDue(wbot); wait < 50*time.Second {
				t.Fatalf("%s: due in %s before the change", name, wait)
			}
			change()
			f.look()
			if wait := f.poller.untilDue(wbot); wait > 5*time.Second {
				t.Errorf("%s: due in %s", name, wait)
			}
			f.poll(t)
		}
		f.pods[0].Status.ContainerStatuses[0].State = corev1.ContainerState{}
		asked := f.asked.Load()
		f.look()
		f.poll(t)
		if f.asked.Load() != asked {
			t.Error("a server that does not run is asked")
		}
	})
}

// An operator that starts polls the bots that it knows enough of spread over a minute, and believes what it knew.
func TestPoller_AfterAStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(1)
		f.bots[wbot].Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionConnected, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonPushesArrive}}
		f.says = func(string) (serverstatus.Status, error) {
			return serverstatus.Status{Pushes: serverstatus.Pushes{Authentic: 100, WrongSignature: 40}}, nil
		}
		f.look()
		if wait := f.poller.untilDue(wbot); wait != 30*time.Second {
			t.Errorf("due in %s", wait)
		}
		f.poll(t)
		if got := f.look().Pushes; got != PushesAuthentic {
			t.Errorf("pushes are %s", got)
		}
	})
}

// What came to another URL says nothing of the new one.
func TestPoller_AnotherURL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(1)
		n := int64(1)
		f.says = func(string) (serverstatus.Status, error) {
			return serverstatus.Status{Store: serverstatus.Store{OK: true}, Pushes: serverstatus.Pushes{Authentic: n}}, nil
		}
		f.look()
		f.poll(t)
		if got := f.look().Pushes; got != PushesAuthentic {
			t.Fatalf("pushes are %s", got)
		}
		f.bots[wbot].Status.URL = "https://new.example.com/wechat"
		f.poll(t)
		f.poll(t)
		if got := f.look().Pushes; got != PushesNone {
			t.Errorf("at the new URL pushes are %s", got)
		}
		n++
		f.poll(t)
		f.poll(t)
		if got := f.look().Pushes; got != PushesAuthentic {
			t.Errorf("after the first push at the new URL they are %s", got)
		}
	})
}

func TestPoller_GoneAndSuspended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(1)
		f.says = stored(true, "")
		f.look()
		f.bots[wbot].Spec.Suspend = true
		f.poll(t)
		if f.asked.Load() != 0 || f.next != 0 {
			t.Errorf("a suspended bot's servers were asked %d times; again in %s", f.asked.Load(), f.next)
		}
		delete(f.bots, wbot)
		f.poll(t)
		if len(f.poller.known) != 0 {
			t.Error("a bot that is gone is kept")
		}
	})
}
