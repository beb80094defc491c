package account

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wechatbot/wechatbot-operator/api/serverstatus"
	"github.com/wechatbot/wechatbot-operator/server/wechat/api"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

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
		40015, 40016, 40017, 40018, 40019, 40020, 40021, 40022, 40023, 40024, 40025, 40026, 40027, 40033, 40054, 40055, 40119, 40120, 40121,
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
