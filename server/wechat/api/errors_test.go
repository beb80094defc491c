package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// fixtureErrors is what the fixtures of errors mean.
var fixtureErrors = map[string]struct {
	kind    Kind
	code    int
	address string
	rid     string
}{
	"-1.json":         {Busy, -1, "", ""},
	"40001.json":      {TokenExpired, 40001, "", "68e0a1b2-1af7da21-37efbc86"},
	"40001.hint.json": {TokenExpired, 40001, "", ""},
	"40003.json":      {NotReceiving, 40003, "", "68e0a1b2-1af7da21-37efbc87"},
	"40007.json":      {MediaGone, 40007, "", "68e0a1b2-1af7da21-37efbc88"},
	"40013.json":      {AppIDRejected, 40013, "", "68e0a1b2-1af7da21-37efbc89"},
	"40014.json":      {TokenExpired, 40014, "", "68e0a1b2-1af7da21-37efbc8a"},
	"40125.json":      {SecretRejected, 40125, "", "63cf14c3-1af7da21-37efbc86"},
	"40164.json":      {IPNotListed, 40164, "120.208.99.249", "6aa2f516-18f315ad-4be915b8"},
	"40164.hint.json": {IPNotListed, 40164, "120.208.99.249", ""},
	"40164.ipv6.json": {IPNotListed, 40164, "2408:4001:200::10", "6aa2f516-18f315ad-4be915b9"},
	"40200.json":      {NotEntitled, 40200, "", "68e0a1b2-1af7da21-37efbc8b"},
	"40201.json":      {NoCallback, 40201, "", "68e0a1b2-1af7da21-37efbc99"},
	"40243.json":      {SecretFrozen, 40243, "", "68e0a1b2-1af7da21-37efbc8c"},
	"42001.json":      {TokenExpired, 42001, "", "68e0a1b2-1af7da21-37efbc8d"},
	"43004.json":      {NotReceiving, 43004, "", ""},
	"44004.json":      {Invalid, 44004, "", ""},
	"45002.json":      {TooLarge, 45002, "", "68e0a1b2-1af7da21-37efbc8e"},
	"45009.json":      {QuotaExhausted, 45009, "", "68e0a1b2-1af7da21-37efbc8f"},
	"45015.json":      {WindowClosed, 45015, "", "68e0a1b2-1af7da21-37efbc90"},
	"45015.hint.json": {WindowClosed, 45015, "", ""},
	"45047.json":      {CountUsedUp, 45047, "", "68e0a1b2-1af7da21-37efbc91"},
	"45080.json":      {NoRecentExchange, 45080, "", "68e0a1b2-1af7da21-37efbc92"},
	"45081.json":      {AlreadyTyping, 45081, "", "68e0a1b2-1af7da21-37efbc93"},
	"45103.json":      {NotEntitled, 45103, "", "68e0a1b2-1af7da21-37efbc94"},
	"46003.json":      {NoMenu, 46003, "", "68e0a1b2-1af7da21-37efbc95"},
	"48001.json":      {NotEntitled, 48001, "", "68e0a1b2-1af7da21-37efbc96"},
	"48001.hint.json": {NotEntitled, 48001, "", ""},
	"65400.json":      {AgentsUnavailable, 65400, "", "68e0a1b2-1af7da21-37efbc97"},
	"65415.json":      {NoAgent, 65415, "", "68e0a1b2-1af7da21-37efbc98"},
}

func TestErrors_Fixtures(t *testing.T) {
	for _, name := range fixtures(t, "errors") {
		want, ok := fixtureErrors[name]
		if !ok {
			t.Errorf("errors/%s is in no table", name)
			continue
		}
		answer, e := parseAnswer(menuAPI, []byte(fixture(t, "errors/"+name)), false)
		if e == nil {
			t.Errorf("%s is no error: %s", name, answer)
			continue
		}
		var address string
		if e.Address.IsValid() {
			address = e.Address.String()
		}
		if e.Kind != want.kind || e.Code != want.code || address != want.address || e.RID != want.rid || e.API != menuAPI {
			t.Errorf("%s = %+v, want %+v", name, e, want)
		}
		text := e.Error()
		if !strings.Contains(text, fmt.Sprintf("errcode %d", want.code)) || !strings.Contains(text, address) || !strings.Contains(text, want.rid) {
			t.Errorf("%s says %q", name, text)
		}
	}
}

// Whatever words stand beside a number, its kind is the same, and a word of another number changes nothing.
func TestErrors_NumberAloneDecides(t *testing.T) {
	for code, kind := range kinds {
		for _, message := range []string{"", "ok", "api unauthorized", "访问过于频繁", "response out of time limit", "invalid ip 1.2.3.4"} {
			e := refusal(sendAPI, code, message)
			if e.Kind != kind || e.Code != code {
				t.Errorf("refusal(%d, %q) = %s %d, want %s", code, message, e.Kind, e.Code, kind)
			}
			if e.Address.IsValid() != (code == 40164 && message == "invalid ip 1.2.3.4") {
				t.Errorf("refusal(%d, %q) has address %v", code, message, e.Address)
			}
		}
	}
	if e := refusal(sendAPI, 99999, ""); e.Kind != Refused || e.Code != 99999 {
		t.Errorf("an unknown number is %s", e.Kind)
	}
	if e := refusal(tokenAPI, 40001, ""); e.Kind != SecretRejected {
		t.Errorf("40001 to a token's request is %s, want SecretRejected", e.Kind)
	}
}

func TestRefusedAddress(t *testing.T) {
	for message, want := range map[string]netip.Addr{
		"invalid ip 120.208.99.249 ipv6 ::ffff:120.208.99.249, not in whitelist rid: 6aa2f516-18f315ad-4be915b8": netip.MustParseAddr("120.208.99.249"),
		"invalid ip ::ffff:120.208.99.249, not in whitelist":                                                     netip.MustParseAddr("120.208.99.249"),
		"invalid ip fe80::1%eth0, not in whitelist":                                                              netip.MustParseAddr("fe80::1"),
		"invalid ip 2001:db8::1":                 netip.MustParseAddr("2001:db8::1"),
		"invalid ip , not in whitelist":          {},
		"invalid ip 1.2.3.4.5, not in whitelist": {},
		"not in whitelist":                       {},
		"":                                       {},
		"invalid ip <script>":                    {},
	} {
		if got := refusedAddress(message); got != want {
			t.Errorf("%q: %v, want %v", message, got, want)
		}
	}
}

// Nothing that came from elsewhere, and no secret, gets into an error's text.
func TestErrors_KeepSecrets(t *testing.T) {
	const token = "tokenThatNobodyMaySee"
	quoting := func(inner error) error {
		return &url.Error{Op: "Post", URL: "https://api.weixin.qq.com" + sendAPI + "?access_token=" + token, Err: inner}
	}
	causes := map[string]error{
		"url.Error":                quoting(io.EOF),
		"wrapped url.Error":        fmt.Errorf("posting: %w", quoting(syscall.ECONNRESET)),
		"a proxy's password":       fmt.Errorf("invalid proxy address %q", "http://user:"+testSecret+"@proxy:3128"),
		"a proxy's password in Op": &net.OpError{Op: "proxyconnect", Net: "tcp", Err: errors.New("http://user:" + testSecret + "@proxy")},
		"a text of the server":     errors.New("malformed HTTP response \"" + token + testSecret + testOpenID + "你好\""),
		"an address in an OpError": &net.OpError{Op: "dial", Net: "tcp", Err: quoting(io.EOF)},
	}
	for name, cause := range causes {
		for _, before := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				c, f := newFake(t, Options{})
				defer c.Close()
				f.on(tokenAPI, f.says(`{"access_token":"`+token+`","expires_in":7200}`))
				f.on(sendAPI, f.breaks(cause))
				if before {
					f.on(sendAPI, f.refuses(cause))
				}
				err := c.Send(t.Context(), Message{To: testOpenID, Content: Text{"你好"}})
				e := asError(t, err)
				for _, secret := range []string{token, testSecret, testOpenID, "你好", "access_token", "user:"} {
					if strings.Contains(err.Error(), secret) || strings.Contains(fmt.Sprintf("%v %s %q", e, e, e), secret) {
						t.Errorf("%s: %q holds %q", name, err, secret)
					}
				}
			})
		}
	}
	for _, code := range []int{40001, 40125, 45015, 45002} {
		e := refusal(sendAPI, code, "bad "+token+" of "+testOpenID+" rid: 68e0a1b2-1af7da21-37efbc86"+token)
		if strings.Contains(e.Error(), token) || strings.Contains(e.Error(), testOpenID) {
			t.Errorf("%d: %q quotes WeChat's words", code, e)
		}
	}
}

// A refused token's request neither shows the secret.
func TestErrors_KeepTheSecretOfATokenRequest(t *testing.T) {
	c, f := newFake(t, Options{})
	f.on(tokenAPI, f.says(`{"errcode":40125,"errmsg":"invalid appsecret `+testSecret+`"}`))
	err := c.CheckToken(t.Context())
	if e := asError(t, err); e.Kind != SecretRejected || strings.Contains(err.Error(), testSecret) {
		t.Errorf("%v", err)
	}
}

func TestErrors_SayWhyNobodyWasReached(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(203, 0, 113, 7), Port: 443}, Err: syscall.ECONNREFUSED}
	for _, test := range []struct {
		name  string
		cause error
		says  string
	}{
		{"a closed port", refused, "dial tcp 203.0.113.7:443: connection refused"},
		{"no name", &net.DNSError{Err: "no such host", Name: "api.weixin.qq.com", IsNotFound: true}, "lookup api.weixin.qq.com: no such host"},
		{"silence", context.DeadlineExceeded, "it took too long"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, f := newFake(t, Options{})
				defer c.Close()
				f.on(currentMenuAPI, f.refuses(test.cause))
				_, _, err := c.CurrentMenu(t.Context())
				if e := asError(t, err); e.Kind != Unreachable || !strings.HasSuffix(err.Error(), test.says) || !errors.Is(err, test.cause) {
					t.Errorf("%v, want Unreachable: %s", err, test.says)
				}
			})
		})
	}
}

func TestKindOf(t *testing.T) {
	if KindOf(nil) != "" || KindOf(io.EOF) != "" || KindOf(fmt.Errorf("x: %w", &Error{Kind: Busy})) != Busy {
		t.Error("KindOf mistakes errors")
	}
}

func TestObserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []Attempt
		c, f := newFake(t, Options{Observe: func(a Attempt) { seen = append(seen, a) }})
		defer c.Close()
		f.on(currentMenuAPI, f.says(fixture(t, "errors/-1.json")), f.answers(http.StatusBadGateway, "text/html", "<html>"),
			f.says(fixture(t, "answers/selfmenu.closed.json")))
		if _, _, err := c.CurrentMenu(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := []Attempt{{API: tokenAPI}, {API: currentMenuAPI, Kind: Busy, Code: -1}, {API: currentMenuAPI, Kind: BadAnswer}, {API: currentMenuAPI}}
		if len(seen) != len(want) {
			t.Fatalf("attempts %+v, want %+v", seen, want)
		}
		for i, w := range want {
			if got := seen[i]; got.API != w.API || got.Kind != w.Kind || got.Code != w.Code || (got.Err == nil) != (w.Kind == "") || got.Took > time.Second {
				t.Errorf("attempt %d is %+v, want %+v", i, got, w)
			}
		}
	})
}
