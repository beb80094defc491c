package report

import (
	"strconv"
	"strings"
	"testing"

	"github.com/wechatbot/wechatbot-operator/api/serverstatus"
	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/observe"
)

// Every errcode by which WeChat refuses a menu is a condition that says what to do about it, in words of its own.
func TestMenuPublished_EveryRefusal(t *testing.T) {
	for code, says := range map[int]string{
		40015: "what a button", 40016: "number of buttons", 40017: "what a button", 40018: "name of a button", 40019: "button's text",
		40020: "url of a button", 40021: "spec.menu", 40022: "an item", 40023: "number of items", 40024: "an item", 40025: "name of an item",
		40026: "item's text", 40027: "url of an item", 40033: "characters", 40054: "url of an item", 40055: "url of a button",
		40119: "a button", 40120: "an item", 40121: "a file", 45010: "other tools", 48004: "站内信", 53600: "an article",
		65301: "个性化菜单", 65303: "个性化菜单", 65304: "个性化菜单", 65305: "个性化菜单", 65306: "kind of account", 65307: "a button",
		65308: "something to do", 65309: "自定义菜单", 65316: "three domains", 65317: "a url",
	} {
		got := menuPublished(&observe.Servers{Account: &observe.ServersAccount{Menu: &serverstatus.Menu{State: serverstatus.MenuRejected, Errcode: code}}})
		if got == nil || got.reason != v1alpha1.ReasonRejected || !strings.Contains(got.message, "errcode "+strconv.Itoa(code)) ||
			!strings.Contains(got.message, says) || strings.Contains(got.message, menuRefusal(0)) {
			t.Errorf("%d: %+v, want it to say %q", code, got, says)
		}
	}
	if got := menuPublished(&observe.Servers{Account: &observe.ServersAccount{Menu: &serverstatus.Menu{State: serverstatus.MenuRejected, Errcode: 99999}}}); !strings.Contains(got.message, "docs/troubleshooting.md") {
		t.Errorf("an unknown errcode: %+v", got)
	}
}

func TestMenuPublished_States(t *testing.T) {
	for state, want := range map[serverstatus.MenuState]string{
		serverstatus.MenuPublished: v1alpha1.ReasonPublished, serverstatus.MenuDrifted: v1alpha1.ReasonDrifted,
		serverstatus.MenuNotEntitled: v1alpha1.ReasonNotEntitled,
	} {
		if got := menuPublished(&observe.Servers{Account: &observe.ServersAccount{Menu: &serverstatus.Menu{State: state, Errcode: 48001}}}); got.reason != want {
			t.Errorf("%s: %+v", state, got)
		}
	}
	for _, silent := range []*observe.Servers{{}, {Account: &observe.ServersAccount{}}} {
		if got := menuPublished(silent); got != nil {
			t.Errorf("of nothing: %+v", got)
		}
	}
}
