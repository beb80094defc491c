package account

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
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
