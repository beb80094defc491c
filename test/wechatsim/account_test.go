package wechatsim

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t, Options{})
		first := c.token
		if again := c.fetchToken(); again != first || len(first) < 100 {
			t.Errorf("the token is %q, then %q", first, again)
		}
		time.Sleep(tokenLife - tokenOverlap - time.Second)
		if again := c.fetchToken(); again != first {
			t.Error("it changed too early")
		}
		time.Sleep(2 * time.Second)
		second := c.fetchToken()
		if second == first {
			t.Error("it does not change five minutes before its end")
		}
		use := func(token string) int {
			c.token = token
			return code(c.get(SelfMenuPath))
		}
		if a, b := use(first), use(second); a != 0 || b != 0 {
			t.Errorf("in the overlap they give %d and %d", a, b)
		}
		time.Sleep(tokenOverlap)
		if a, b := use(first), use(second); a != 42001 || b != 0 {
			t.Errorf("after it they give %d and %d", a, b)
		}
		c.violations(nil)
		time.Sleep(staleAfter)
		if a := use(first); a != 42001 {
			t.Errorf("stale, it gives %d", a)
		}
		c.KillToken()
		if a := use(second); a != 40001 {
			t.Errorf("killed, it gives %d", a)
		}
		if a := use("never"); a != 40001 {
			t.Errorf("invented, it gives %d", a)
		}
		if a := use(""); a != 41001 {
			t.Errorf("without one it gives %d", a)
		}
		c.violations(map[Violation]int{StaleToken: 1, UnknownToken: 1, NoToken: 1})
	})
}

func TestTokens_Refused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t, Options{})
		c.token = ""
		ask := func(appID, secret, more string) int {
			return code(c.post(TokenPath, `{"grant_type":"client_credential","appid":"`+appID+`","secret":"`+secret+`"`+more+`}`))
		}
		if a, b := ask("wx0", testSecret, ""), ask(testAppID, "x", ""); a != 40013 || b != 40125 {
			t.Errorf("another AppID gives %d, another secret %d", a, b)
		}
		c.FreezeSecret(true)
		if a := ask(testAppID, testSecret, ""); a != 40243 {
			t.Errorf("frozen, it gives %d", a)
		}
		c.FreezeSecret(false)
		c.SetSecret("new")
		if a, b := ask(testAppID, testSecret, ""), ask(testAppID, "new", ""); a != 40125 || b != 0 {
			t.Errorf("rotated, the old one gives %d, the new one %d", a, b)
		}
		c.violations(nil)
		for n := range forcesADay + 1 {
			want := 0
			if n == forcesADay {
				want = 45009
			}
			if a := ask(testAppID, "new", `,"force_refresh":true`); a != want {
				t.Errorf("by force, time %d: %d, want %d", n+1, a, want)
			}
			time.Sleep(forcePause)
		}
		c.violations(map[Violation]int{ForcedToken: forcesADay + 1})
	})
}

func TestIPList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t, Options{})
		c.SetIPList([]netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")})
		for from, want := range map[string]string{
			"198.51.100.7": "", "203.0.113.9": "invalid ip 203.0.113.9 ipv6 ::ffff:203.0.113.9, not in whitelist rid: ",
			"2001:db8::1": "invalid ip 2001:db8::1 ipv6 2001:db8::1, not in whitelist rid: ",
		} {
			c.SeeFrom(netip.MustParseAddr(from))
			for _, answer := range []map[string]any{c.get(SelfMenuPath), c.post(TokenPath,
				`{"grant_type":"client_credential","appid":"`+testAppID+`","secret":"`+testSecret+`"}`)} {
				message, _ := answer["errmsg"].(string)
				if (code(answer) == 40164) != (want != "") || !strings.HasPrefix(message, want) {
					t.Errorf("from %s: %v", from, answer)
				}
			}
		}
		c.SeeFrom(netip.Addr{})
		if a := code(c.get(SelfMenuPath)); a != 40164 { // from 192.0.2.1, in process
			t.Errorf("from where it comes: %d", a)
		}
		c.SetIPList(nil)
		if a := code(c.get(SelfMenuPath)); a != 0 {
			t.Errorf("without a list: %d", a)
		}
	})
}

func TestKinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t, Options{})
		c.SetAgents([]Agent{{"anna@shop", true, 1}})
		f := c.Follower(testOpenID)
		for _, kind := range []AccountKind{VerifiedService, VerifiedSubscription, TestAccount, UnverifiedService, UnverifiedSubscription, PersonalSubscription} {
			c.SetKind(kind)
			must(f.Send(t.Context(), "q"))
			verified := kind == VerifiedService || kind == VerifiedSubscription || kind == TestAccount
			want := 48001
			if verified {
				want = 0
			}
			for what, got := range map[string]int{
				"send": c.text(testOpenID, "a"), "typing": c.typing(testOpenID), "upload": code(c.upload(UploadPath, "image", "a.gif", gif)),
				"agents": code(c.get(OnlinePath)), "menu": code(c.post(CreateMenuPath, `{"button":[{"name":"a","type":"click","key":"k"}]}`)),
			} {
				if got != want {
					t.Errorf("%s, %s: %d, want %d", kind, what, got, want)
				}
			}
			for what, got := range map[string]int{
				"current menu": code(c.get(SelfMenuPath)), "callback addresses": code(c.get(CallbackIPPath)),
				"check": code(c.post(CheckPath, `{"action":"all","check_operator":"DEFAULT"}`)), "quota": code(c.post(QuotaPath, `{"cgi_path":"`+SendPath+`"}`)),
				"material": code(c.upload(MaterialPath, "image", "a.gif", gif)),
			} {
				if got != 0 {
					t.Errorf("%s, %s: %d, want 0", kind, what, got)
				}
			}
			menu := code(c.post(SendPath, `{"touser":"`+testOpenID+`","msgtype":"msgmenu","msgmenu":{"list":[{"id":"1","content":"x"}]}}`))
			if wantMenu := map[bool]int{true: 40200, false: want}[kind == TestAccount]; menu != wantMenu {
				t.Errorf("%s, msgmenu: %d, want %d", kind, menu, wantMenu)
			}
			var read AccountKind
			if text, err := kind.MarshalText(); err != nil || read.UnmarshalText(text) != nil || read != kind {
				t.Errorf("%s is read as %s", kind, read)
			}
		}
		if new(AccountKind).UnmarshalText([]byte("x")) == nil || AccountKind(99).String() != "AccountKind(99)" {
			t.Error("a kind that is none")
		}
		c.violations(nil)
	})
}
