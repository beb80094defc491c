package account

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/wechatbot/wechatbot-operator/api/serverstatus"
	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/session/memory"
	"github.com/wechatbot/wechatbot-operator/server/session/records"
	"github.com/wechatbot/wechatbot-operator/server/wechat/api"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	appID  = "wx0123456789abcdef"
	secret = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
)

// world is WeChat, and a store that replicas share.
type world struct {
	*testing.T
	*wechatsim.Platform

	records   *memory.Records
	transport *wechatsim.InProcess
	webhook   *wechatsim.InProcess
	secret    atomic.Pointer[string]
}

// inWorld runs a test in a bubble.
func inWorld(t *testing.T, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t}
		w.webhook = wechatsim.HandlerTransport(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "success") }))
		var err error
		w.Platform, err = wechatsim.New(wechatsim.Account{
			URL: "http://bot.example/wechat", Token: "wxopTestToken2026", AppID: appID, AppSecret: secret, Mode: wechatsim.Plain,
		}, wechatsim.Options{Transport: w.webhook})
		if err != nil {
			t.Fatal(err)
		}
		w.records = memory.New(session.Options{IdleTimeout: time.Hour, History: 5, LeaseTTL: time.Minute}, 1<<20)
		w.transport = wechatsim.HandlerTransport(w.API())
		w.secret.Store(new(string(secret)))
		t.Cleanup(func() {
			w.transport.Wait()
			w.Wait()
			w.webhook.Wait()
		})
		test(w)
		if v := w.Violations(); len(v) != 0 {
			t.Errorf("rules of WeChat's broken: %v", v)
		}
	})
}

// replica is an account as one process looks after it.
type replica struct {
	*Account

	log    *lockedBuffer
	duty   *duty
	calls  atomic.Int64 // of WeChat's API
	last   atomic.Pointer[time.Time]
	end    context.CancelFunc
	ended  chan struct{}
	client *api.Client
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// duty is the store of one replica, which can be cut off from it.
type duty struct {
	session.Store

	cut   atomic.Bool
	until atomic.Pointer[time.Time]
}

var errCut = errors.New("the store does not answer")

func (d *duty) HoldDuty(ctx context.Context, lasts time.Duration) (session.Duty, error) {
	if d.cut.Load() {
		<-ctx.Done()
		return session.Duty{}, errCut
	}
	held, err := d.Store.HoldDuty(ctx, lasts)
	d.until.Store(&held.Until)
	return held, err
}

func (d *duty) ReleaseDuty(ctx context.Context) error {
	if d.cut.Load() {
		return errCut
	}
	return d.Store.ReleaseDuty(ctx)
}

func (d *duty) NoteDuty(ctx context.Context, note string) error {
	if d.cut.Load() {
		return errCut
	}
	return d.Store.NoteDuty(ctx, note)
}

// start starts a replica.
func (w *world) start(name string, s Settings) *replica {
	w.Helper()
	r := &replica{log: new(lockedBuffer), ended: make(chan struct{})}
	r.duty = &duty{Store: records.New(w.records.Port(name), name)}
	r.Account = New(Options{
		Duty: r.duty, Metrics: NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.NewTextHandler(r.log, nil)),
	}, Settings{})
	var err error
	r.client, err = api.New(api.Options{
		Credentials: func() (string, string) { return appID, *w.secret.Load() }, Transport: w.transport,
		Observe: func(a api.Attempt) {
			r.calls.Add(1)
			if a.API != wechatsim.TokenPath { // which each process asks for itself
				r.last.Store(new(time.Now()))
			}
			r.Observe(a)
		},
	})
	if err != nil {
		w.Fatal(err)
	}
	s.Client, s.AppID = r.client, appID
	r.Configure(s)
	ctx, end := context.WithCancel(w.Context())
	r.end = end
	go func() {
		defer close(r.ended)
		r.Run(ctx)
	}()
	w.Cleanup(r.stop)
	return r
}

// stop stops a replica as it stops itself.
func (r *replica) stop() {
	r.end()
	<-r.ended
	r.client.Close()
}

// reconfigure changes the settings but the client.
func (r *replica) reconfigure(s Settings) {
	s.Client, s.AppID = r.client, appID
	r.Configure(s)
}

// pass lets time pass in the bubble, and all that happens in it.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (w *world) wantStatus(r *replica, want serverstatus.Account) {
	w.Helper()
	want.LastErrors, want.Addresses = nonNil(want.LastErrors), nonNil(want.Addresses)
	for _, c := range []*serverstatus.Capability{
		&want.Capabilities.CustomerService, &want.Capabilities.Media, &want.Capabilities.Menu, &want.Capabilities.Handover,
	} {
		if *c == "" {
			*c = serverstatus.Unknown
		}
	}
	if d := cmp.Diff(&want, r.Status()); d != "" {
		w.Errorf("status (-want +got):\n%s", d)
	}
}

func nonNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func (w *world) wantMenu(want []api.Button) {
	w.Helper()
	got, _ := w.Menu()
	if len(got) != len(want) || !slices.EqualFunc(got, want, func(g wechatsim.Button, b api.Button) bool { return g.Name == b.Name }) {
		w.Errorf("followers see %v, want %v", got, want)
	}
}

func (w *world) wantCalls(path string, want int) {
	w.Helper()
	if got, codes := w.Calls(path); got != want {
		w.Errorf("%s was called %d times (%v), want %d", path, got, codes, want)
	}
}

var (
	coffee = []api.Button{
		{Name: "官网", Type: api.ViewButton, URL: "https://example.com/"},
		{Name: "咖啡", Items: []api.Button{{Name: "今天喝什么", Type: api.ClickButton, Key: "k1"}, {Name: "营业时间", Type: api.ClickButton, Key: "k2"}}},
	}
	tea = []api.Button{{Name: "茶", Type: api.ClickButton, Key: "k3"}}

	published = &serverstatus.Menu{State: serverstatus.MenuPublished}
)

func TestMenuIsPublishedOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		w.SetConsoleMenu([]wechatsim.Button{{Name: "old", Type: "view", URL: "https://old.example"}})
		a := w.start("a", Settings{Menu: coffee})
		pass(time.Second)
		w.wantMenu(coffee)
		w.wantStatus(a, serverstatus.Account{Capabilities: serverstatus.Capabilities{Menu: serverstatus.Yes}, Menu: published})
		if !a.MenuPublished() {
			t.Error("the menu is not known to be published")
		}
		b := w.start("b", Settings{Menu: coffee})
		pass(3 * time.Hour)
		w.wantCalls(wechatsim.CreateMenuPath, 1)
		w.wantStatus(b, serverstatus.Account{})
		if !b.MenuPublished() {
			t.Error("a replica without the duty does not know that the menu is published")
		}
		if n, _ := w.Calls(wechatsim.SelfMenuPath); n != 19 { // once at the start, and every ten minutes
			t.Errorf("the menu was looked at %d times in three hours", n)
		}
		w.wantCalls(wechatsim.CallbackIPPath, 1)
		pass(24 * time.Hour)
		w.wantCalls(wechatsim.CallbackIPPath, 2)
	})
}

func TestMenuOfANextProcess(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.start("a", Settings{Menu: coffee})
		pass(time.Second)
		a.stop()
		w.SetConsoleMenu([]wechatsim.Button{{Name: "by hand", Type: "view", URL: "https://a.example"}})
		b := w.start("b", Settings{Menu: coffee})
		pass(time.Second)
		w.wantCalls(wechatsim.CreateMenuPath, 1) // it is known what was published: this is drift
		w.wantStatus(b, serverstatus.Account{Menu: &serverstatus.Menu{State: serverstatus.MenuDrifted}})
		b.reconfigure(Settings{Menu: tea})
		pass(time.Second)
		w.wantMenu(tea)
		w.wantStatus(b, serverstatus.Account{Capabilities: serverstatus.Capabilities{Menu: serverstatus.Yes}, Menu: published})
	})
}

func TestDriftIsReported(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.start("a", Settings{Menu: coffee})
		pass(time.Second)
		by := []wechatsim.Button{{Name: "by hand", Type: "view", URL: "https://a.example"}}
		w.SetConsoleMenu(by)
		pass(menuEvery + dutyRenew)
		w.wantStatus(a, serverstatus.Account{Capabilities: serverstatus.Capabilities{Menu: serverstatus.Yes}, Menu: &serverstatus.Menu{State: serverstatus.MenuDrifted}})
		pass(24 * time.Hour)
		if got, _ := w.Menu(); got[0].Name != "by hand" {
			t.Errorf("followers see %v", got)
		}
		if n := strings.Count(a.log.String(), "changed in WeChat's console"); n != 1 {
			t.Errorf("it was logged %d times:\n%s", n, a.log.String())
		}
		w.SetConsoleMenu(nil) // switched off
		pass(menuEvery + dutyRenew)
		w.wantCalls(wechatsim.CreateMenuPath, 1)
		a.reconfigure(Settings{Menu: coffee, Enforce: true})
		pass(time.Second)
		w.wantMenu(coffee)
		w.SetConsoleMenu(by)
		pass(menuEvery + dutyRenew)
		w.wantMenu(coffee)
		w.wantCalls(wechatsim.CreateMenuPath, 3)
	})
}

// A menu that is taken out of the configuration stays. One that comes back is published, whatever is there then.
func TestMenuTakenOutAndPutBack(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.start("a", Settings{Menu: coffee})
		pass(time.Second)
		a.reconfigure(Settings{})
		pass(time.Second)
		w.wantMenu(coffee)
		w.wantStatus(a, serverstatus.Account{Capabilities: serverstatus.Capabilities{Menu: serverstatus.Yes}})
		w.SetConsoleMenu([]wechatsim.Button{{Name: "by hand", Type: "view", URL: "https://a.example"}})
		a.reconfigure(Settings{Menu: coffee})
		pass(time.Second)
		w.wantMenu(coffee)
	})
}

// Every number of the menu's table: the menu is refused, that is told, and it is not tried over and over.
func TestMenuRefused(t *testing.T) {
	for _, code := range []int{
		40015, 40016, 40017, 40018, 40019, 40020, 40022, 40023, 40024, 40025, 40026, 40027, 40033, 40054, 40055, 40119, 40120, 40121,
		45010, 48004, 53600, 65301, 65303, 65304, 65305, 65306, 65307, 65308, 65309, 65316, 65317, 99999,
	} {
		inWorld(t, func(w *world) {
			w.Order(wechatsim.Order{API: wechatsim.CreateMenuPath, Code: code})
			a := w.start("a", Settings{Menu: coffee})
			pass(12 * time.Hour)
			w.wantCalls(wechatsim.CreateMenuPath, 1)
			got := a.Status()
			if d := cmp.Diff(&serverstatus.Menu{State: serverstatus.MenuRejected, Errcode: code}, got.Menu); d != "" {
				t.Errorf("%d (-want +got):\n%s", code, d)
			}
			if want := (serverstatus.CallError{API: wechatsim.CreateMenuPath, Errcode: code}); !slices.Contains(got.LastErrors, want) {
				t.Errorf("%d: last errors %v", code, got.LastErrors)
			}
			if a.MenuPublished() {
				t.Errorf("%d: it is said to be published", code)
			}
			w.CancelOrder(0)
			a.reconfigure(Settings{Menu: tea})
			pass(time.Second)
			w.wantMenu(tea)
			w.wantStatus(a, serverstatus.Account{Capabilities: serverstatus.Capabilities{Menu: serverstatus.Yes}, Menu: published})
		})
	}
}

// What passes by itself is tried again soon.
func TestMenuIsTriedAgain(t *testing.T) {
	for name, o := range map[string]wechatsim.Order{
		"busy": {Code: -1}, "quota": {Code: 45009}, "minute": {Code: 45011}, "no WeChat": {Status: 502, Body: "<html>"}, "lost": {Lose: true},
		"refused": {Refuse: true},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				o.API = wechatsim.CreateMenuPath
				w.Order(o)
				a := w.start("a", Settings{Menu: coffee})
				pass(30 * time.Second)
				if got := a.Status(); got.Menu != nil || len(got.LastErrors) != 1 {
					t.Errorf("status %+v", got)
				}
				w.CancelOrder(0)
				pass(2 * soon)
				w.wantMenu(coffee)
				w.wantStatus(a, serverstatus.Account{Capabilities: serverstatus.Capabilities{Menu: serverstatus.Yes}, Menu: published})
			})
		})
	}
}

func TestAccountThatMayHaveNoMenu(t *testing.T) {
	inWorld(t, func(w *world) {
		w.SetKind(wechatsim.UnverifiedSubscription)
		a := w.start("a", Settings{Menu: coffee})
		no := serverstatus.Account{
			Capabilities: serverstatus.Capabilities{Menu: serverstatus.No},
			LastErrors:   []serverstatus.CallError{{API: wechatsim.CreateMenuPath, Errcode: 48001}},
			Menu:         &serverstatus.Menu{State: serverstatus.MenuNotEntitled, Errcode: 48001},
		}
		pass(12 * time.Hour)
		w.wantStatus(a, no)
		w.wantCalls(wechatsim.CreateMenuPath, 1)
		if a.MenuPublished() {
			t.Error("it is said to be published")
		}
		w.SetKind(wechatsim.VerifiedService)
		pass(13 * time.Hour)
		w.wantMenu(coffee)
		if !a.MenuPublished() || a.Can(Menu) != serverstatus.Yes {
			t.Errorf("after the verification: %+v", a.Status())
		}
		w.SetKind(wechatsim.UnverifiedSubscription) // it has ended
		pass(menuEvery + dutyRenew)
		if a.Can(Menu) == serverstatus.No && a.MenuPublished() {
			t.Error("tap-links are not shown again")
		}
	})
}

// The holder is killed: another one does the chores, and nobody does them twice.
func TestHolderIsKilled(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.start("a", Settings{Menu: coffee})
		pass(time.Second)
		b := w.start("b", Settings{Menu: coffee, Enforce: true})
		pass(5 * time.Minute)
		if a.Status().Menu == nil || b.Status().Menu != nil {
			t.Fatal("not the first one has the duty")
		}
		a.duty.cut.Store(true) // a killed one gives nothing up
		a.end()
		w.SetConsoleMenu(nil)
		killed := time.Now()
		for b.Status().Menu == nil {
			pass(time.Second)
		}
		if took := time.Since(killed); took > dutyLasts+dutyRenew {
			t.Errorf("another one has the duty after %v", took)
		}
		w.wantMenu(coffee)
		w.wantStatus(b, serverstatus.Account{Capabilities: serverstatus.Capabilities{Menu: serverstatus.Yes}, Menu: published})
	})
}

func TestHolderStops(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.start("a", Settings{Menu: coffee})
		pass(time.Second)
		b := w.start("b", Settings{Menu: coffee})
		pass(time.Second)
		a.stop()
		pass(dutyRenew)
		w.wantStatus(b, serverstatus.Account{Menu: published})
	})
}

// A holder that cannot reach the store stops before another one begins, whatever it is doing.
func TestHolderWithoutTheStore(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.start("a", Settings{Menu: coffee, Enforce: true})
		pass(time.Second)
		b := w.start("b", Settings{Menu: coffee, Enforce: true})
		pass(time.Second)
		for range 40 { // it is cut off while it is about to publish a menu, or at any other moment
			w.SetConsoleMenu(nil)
			w.Order(wechatsim.Order{API: wechatsim.CreateMenuPath, Delay: 9 * time.Second, Code: -1})
			a.duty.cut.Store(true)
			for b.Status().Menu == nil && b.duty.until.Load().IsZero() {
				pass(time.Second)
			}
			if last := a.last.Load(); last.After(*a.duty.until.Load()) {
				t.Fatalf("a does chores %v after its duty has ended", last.Sub(*a.duty.until.Load()))
			}
			if a.Status().Menu != nil {
				t.Fatal("a says how the menu is, though another one has the duty")
			}
			w.CancelOrder(0)
			a.duty.cut.Store(false)
			a, b = b, a
			pass(menuEvery + dutyRenew)
		}
	})
}

func TestSecretAndList(t *testing.T) {
	inWorld(t, func(w *world) {
		w.SetIPList([]netip.Prefix{})
		seen := netip.MustParseAddr("120.208.99.249")
		w.SeeFrom(seen)
		a := w.start("a", Settings{Menu: coffee})
		pass(time.Second)
		w.wantStatus(a, serverstatus.Account{
			LastErrors: []serverstatus.CallError{{API: wechatsim.TokenPath, Errcode: 40164}}, Addresses: []string{"120.208.99.249"},
		})
		other := netip.MustParseAddr("240e::1")
		w.SeeFrom(other)
		pass(2 * tokenEvery)
		w.wantStatus(a, serverstatus.Account{
			LastErrors: []serverstatus.CallError{{API: wechatsim.TokenPath, Errcode: 40164}}, Addresses: []string{"240e::1", "120.208.99.249"},
		})
		if calls := a.calls.Load(); calls > 4 {
			t.Errorf("%d calls in two minutes in which nothing could go well", calls)
		}
		w.SetIPList(nil)
		pass(3 * soon)
		w.wantMenu(coffee)
		w.wantStatus(a, serverstatus.Account{
			Capabilities: serverstatus.Capabilities{Menu: serverstatus.Yes}, Menu: published, Addresses: []string{"240e::1", "120.208.99.249"},
		})
		if !strings.Contains(a.log.String(), "120.208.99.249") {
			t.Errorf("the log says nothing of the address:\n%s", a.log)
		}
	})
	inWorld(t, func(w *world) {
		w.secret.Store(new("wrong"))
		a := w.start("a", Settings{Menu: coffee})
		pass(time.Hour)
		w.wantStatus(a, serverstatus.Account{LastErrors: []serverstatus.CallError{{API: wechatsim.TokenPath, Errcode: 40125}}})
		if n := strings.Count(a.log.String(), "40125"); n > 2 {
			t.Errorf("it was logged %d times in an hour:\n%s", n, a.log)
		}
		if strings.Contains(a.log.String(), "wrong") {
			t.Error("the secret is in the log")
		}
		w.secret.Store(new(string(secret)))
		pass(2 * soon)
		w.wantMenu(coffee)
		w.wantStatus(a, serverstatus.Account{Capabilities: serverstatus.Capabilities{Menu: serverstatus.Yes}, Menu: published})
	})
}

// What an account may do is found out by who does it.
func TestCapabilities(t *testing.T) {
	inWorld(t, func(w *world) {
		w.SetKind(wechatsim.UnverifiedSubscription)
		a := w.start("a", Settings{})
		pass(time.Second)
		w.wantStatus(a, serverstatus.Account{})
		send := func() error {
			return a.Client().Send(w.Context(), api.Message{To: "oFollower", Content: api.Text{Content: "x"}})
		}
		if err := send(); api.KindOf(err) != api.NotEntitled {
			t.Fatal(err)
		}
		if a.Can(CustomerService) != serverstatus.No {
			t.Fatal("it is not known that there is no customer service")
		}
		pass(23 * time.Hour)
		if a.Can(CustomerService) != serverstatus.No {
			t.Error("it is forgotten too soon")
		}
		pass(2 * time.Hour) // the daily look: nothing has changed
		if a.Can(CustomerService) != serverstatus.No || a.Can(Handover) != serverstatus.No {
			t.Errorf("after the daily look: %+v", a.Status())
		}
		w.SetKind(wechatsim.VerifiedService)
		pass(25 * time.Hour)
		if a.Can(CustomerService) != serverstatus.Unknown || a.Can(Handover) != serverstatus.Yes {
			t.Errorf("after the verification: %+v", a.Status())
		}
		w.wantCalls(wechatsim.SendPath, 1)
		follower := w.Follower("oFollower")
		if _, err := follower.Send(w.Context(), "q"); err != nil {
			t.Fatal(err)
		}
		if err := send(); err != nil {
			t.Fatal(err)
		}
		if a.Can(CustomerService) != serverstatus.Yes {
			t.Error("it is not known that there is customer service")
		}
	})
}

// What is refused for one follower or one type of message says nothing of the account.
func TestCapabilityIsNotLost(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.start("a", Settings{})
		for _, c := range []api.Attempt{
			{API: wechatsim.SendPath, Kind: api.WindowClosed, Code: 45015}, {API: wechatsim.SendPath, Kind: api.NotEntitled, Code: 40200},
			{API: wechatsim.SendPath, Kind: api.UnknownDelivery}, {API: wechatsim.SendPath, Kind: api.Canceled}, {API: wechatsim.SendPath, Kind: api.Busy, Code: -1},
		} {
			a.Observe(c)
		}
		w.wantStatus(a, serverstatus.Account{
			Capabilities: serverstatus.Capabilities{CustomerService: serverstatus.Yes},
			LastErrors:   []serverstatus.CallError{{API: wechatsim.SendPath, Errcode: -1}, {API: wechatsim.SendPath}, {API: wechatsim.SendPath, Errcode: 40200}, {API: wechatsim.SendPath, Errcode: 45015}},
		})
		pass(25 * time.Hour)
		w.wantStatus(a, serverstatus.Account{Capabilities: serverstatus.Capabilities{CustomerService: serverstatus.Yes}})
	})
}

func TestNothingWithoutAnAppSecret(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.start("a", Settings{Menu: coffee})
		pass(time.Second)
		a.Configure(Settings{})
		pass(time.Second)
		calls := a.calls.Load()
		if a.Status() != nil || a.Client() != nil {
			t.Errorf("status %+v", a.Status())
		}
		b := w.start("b", Settings{Menu: coffee}) // the duty was given up
		pass(time.Second)
		w.wantStatus(b, serverstatus.Account{Menu: published})
		pass(time.Hour)
		if a.calls.Load() != calls {
			t.Error("WeChat is called without an AppSecret")
		}
	})
}

func TestOtherAccount(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.start("a", Settings{Menu: coffee})
		pass(time.Second)
		a.Configure(Settings{Client: a.client, AppID: "wxother", Menu: coffee})
		if got := a.Can(Menu); got != serverstatus.Unknown {
			t.Errorf("of another account it is known whether it may have a menu: %s", got)
		}
		pass(time.Second)
	})
}

func TestCallbackAddressesChange(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.start("a", Settings{})
		pass(time.Second)
		w.SetCallbackAddresses([]string{"101.226.103.0/25", "203.0.113.7"})
		pass(25 * time.Hour)
		if log := a.log.String(); !strings.Contains(log, "203.0.113.7") || !strings.Contains(log, "121.51.162.4") || strings.Contains(log, "101.226") {
			t.Errorf("the log says:\n%s", log)
		}
	})
}
