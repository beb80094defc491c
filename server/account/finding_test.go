package account

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/api/serverstatus"
	"github.com/wechatbot/wechatbot-operator/server/wechat/api"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

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
		if n := strings.Count(a.log.String(), "errcode=40125"); n > 2 {
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
