package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// look makes a call that needs a token, and fails if it does not succeed.
func look(t *testing.T, c *Client) {
	t.Helper()
	if _, err := c.OnlineAgents(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// used is the token of the last such call.
func used(f *fakeWeChat) string { return f.last(onlineAgentsAPI).query.Get("access_token") }

// slowly answers after a time, or when the call's context has ended.
func slowly(d time.Duration, then script) script {
	return script{func(r *http.Request) (*http.Response, error) {
		select {
		case <-time.After(d):
			return then.answer(r)
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}}
}

func TestToken_Request(t *testing.T) {
	secret := testSecret + "\n"
	c, f := newFake(t, Options{Credentials: func() (string, string) { return testAppID, secret }, BaseURL: "http://relay.example/proxied/"})
	look(t, c)
	got := f.last(tokenAPI)
	if want := `{"grant_type":"client_credential","appid":"` + testAppID + `","secret":"` + testSecret + `"}`; got.body != want || len(got.query) != 0 {
		t.Errorf("body %s ?%v, want %s", got.body, got.query, want)
	}
}

func TestToken_LifeOfOne(t *testing.T) {
	for range 20 { // renewal is spread by chance
		synctest.Test(t, func(t *testing.T) {
			c, f := newFake(t, Options{})
			defer c.Close()
			look(t, c)
			time.Sleep(2*time.Hour - renewBefore - time.Second)
			look(t, c)
			if used(f) != "token-1" || f.count(tokenAPI) != 1 {
				t.Fatalf("%s after %d fetches, want the first until 4.5 minutes before its end", used(f), f.count(tokenAPI))
			}
			// From here on it may be renewed at any time, beside calls, which use the old one meanwhile.
			f.on(tokenAPI, slowly(5*time.Second, f.says(`{"access_token":"second","expires_in":7200}`)))
			time.Sleep(renewSpread + 2*time.Second)
			look(t, c)
			if used(f) != "token-1" {
				t.Fatalf("%s while the next is fetched, want the first", used(f))
			}
			time.Sleep(6 * time.Second)
			look(t, c)
			if used(f) != "second" || f.count(tokenAPI) != 2 {
				t.Fatalf("%s after %d fetches, want the second", used(f), f.count(tokenAPI))
			}
		})
	}
}

func TestToken_RenewalFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := newFake(t, Options{})
		defer c.Close()
		look(t, c)
		f.on(tokenAPI, f.says(`{"errcode":40164,"errmsg":"invalid ip 192.0.2.9, not in whitelist"}`))
		time.Sleep(2*time.Hour - time.Minute)
		for range 3 {
			look(t, c)
			synctest.Wait()
		}
		if used(f) != "token-1" || f.count(tokenAPI) != 2 {
			t.Errorf("%s after %d fetches, want the first, and one try in a while", used(f), f.count(tokenAPI))
		}
		time.Sleep(renewalHold)
		look(t, c)
		synctest.Wait()
		if f.count(tokenAPI) != 3 {
			t.Errorf("%d fetches, want another try after %v", f.count(tokenAPI), renewalHold)
		}
		time.Sleep(time.Minute)
		_, err := c.OnlineAgents(t.Context())
		if e := asError(t, err); e.Kind != IPNotListed || e.API != tokenAPI || e.Address.String() != "192.0.2.9" {
			t.Errorf("after its end: %v, want IPNotListed", err)
		}
	})
}

func TestToken_FetchedOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := newFake(t, Options{})
		defer c.Close()
		f.on(tokenAPI, slowly(time.Second, f.says(`{"access_token":"one","expires_in":7200}`)))
		var callers sync.WaitGroup
		for i := range 50 {
			callers.Go(func() {
				ctx := t.Context()
				if i == 0 { // the one that begins it may be the first to give up
					short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
					defer cancel()
					ctx = short
				}
				_, err := c.OnlineAgents(ctx)
				if i == 0 {
					if KindOf(err) != Canceled || !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("the one that gave up: %v", err)
					}
				} else if err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		callers.Wait()
		if f.count(tokenAPI) != 1 || f.count(onlineAgentsAPI) != 49 {
			t.Errorf("%d fetches for %d calls, want 1 for 49", f.count(tokenAPI), f.count(onlineAgentsAPI))
		}
	})
}

// Calls whose token is refused share the next one: a token is dropped only by who used it.
func TestToken_RefusedToMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := newFake(t, Options{})
		defer c.Close()
		look(t, c)
		var round atomic.Int32
		f.on(onlineAgentsAPI, script{func(r *http.Request) (*http.Response, error) {
			if r.URL.Query().Get("access_token") == "token-1" {
				// They come back one after another, while the first of them already has the next token.
				return slowly(time.Duration(round.Add(1))*time.Second, f.says(`{"errcode":40001}`)).answer(r)
			}
			return f.says(`{"kf_online_list":[]}`).answer(r)
		}})
		var callers sync.WaitGroup
		for range 5 {
			callers.Go(func() { look(t, c) })
		}
		callers.Wait()
		if f.count(tokenAPI) != 2 {
			t.Errorf("%d fetches, want 2", f.count(tokenAPI))
		}
	})
}

// A token that is refused twice is given a rest: calls fail at once for a moment, then one tries again.
func TestToken_RefusedForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := newFake(t, Options{})
		defer c.Close()
		f.on(onlineAgentsAPI, f.says(`{"errcode":40014}`))
		for range 5 {
			if _, err := c.OnlineAgents(t.Context()); KindOf(err) != TokenExpired {
				t.Fatalf("%v, want TokenExpired", err)
			}
		}
		if f.count(tokenAPI) != 2 || f.count(onlineAgentsAPI) != 2 {
			t.Errorf("%d fetches and %d calls, want 2 and 2", f.count(tokenAPI), f.count(onlineAgentsAPI))
		}
		time.Sleep(refusalHold)
		f.on(onlineAgentsAPI, f.says(`{"kf_online_list":[]}`))
		look(t, c)
	})
}

func TestToken_Failures(t *testing.T) {
	for _, test := range []struct {
		name    string
		answers []string
		want    Kind
		fetches int // of two calls in a row
		hold    time.Duration
	}{
		{"the secret is not this account's", []string{`{"errcode":40125}`}, SecretRejected, 1, configurationHold},
		{"the secret is not this account's, as older servers say it", []string{`{"errcode":40001}`}, SecretRejected, 1, configurationHold},
		{"no such account", []string{`{"errcode":40013}`}, AppIDRejected, 1, configurationHold},
		{"the secret is frozen", []string{`{"errcode":40243}`}, SecretFrozen, 1, configurationHold},
		{"the address is not listed", []string{`{"errcode":40164}`}, IPNotListed, 1, configurationHold},
		{"the address waits for the administrator", []string{`{"errcode":89503}`}, IPNotListed, 1, configurationHold},
		{"the day's tokens are used up", []string{`{"errcode":45009}`}, QuotaExhausted, 1, configurationHold},
		{"the minute's tokens are used up", []string{`{"errcode":45011}`}, TooOften, 1, refusalHold},
		{"busy", []string{`{"errcode":-1}`}, Busy, 6, 0},
		{"HTML", []string{`<html>`}, BadAnswer, 2, 0},
		{"an empty token", []string{`{"access_token":"","expires_in":7200}`}, BadAnswer, 2, 0},
		{"no token", []string{`{"errcode":0}`}, BadAnswer, 2, 0},
		{"an endless token", []string{`{"access_token":"` + strings.Repeat("x", maxTokenBytes+1) + `","expires_in":7200}`}, BadAnswer, 2, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, f := newFake(t, Options{})
				defer c.Close()
				f.on(tokenAPI, f.says(test.answers[0]))
				for range 2 {
					err := c.CheckToken(t.Context())
					if e := asError(t, err); e.Kind != test.want || e.API != tokenAPI {
						t.Fatalf("%v, want %s", err, test.want)
					}
				}
				if n := f.count(tokenAPI); n != test.fetches {
					t.Errorf("%d fetches, want %d", n, test.fetches)
				}
				time.Sleep(test.hold)
				f.on(tokenAPI, f.says(`{"access_token":"good","expires_in":7200}`))
				if err := c.CheckToken(t.Context()); err != nil {
					t.Errorf("after %v: %v", test.hold, err)
				}
			})
		})
	}
}

func TestToken_NoCredentials(t *testing.T) {
	appID, secret := "", testSecret
	c, f := newFake(t, Options{Credentials: func() (string, string) { return appID, secret }})
	if err := c.CheckToken(t.Context()); KindOf(err) != AppIDRejected {
		t.Errorf("without AppID: %v", err)
	}
	appID, secret = testAppID, " \n"
	if err := c.CheckToken(t.Context()); KindOf(err) != SecretRejected {
		t.Errorf("without AppSecret: %v", err)
	}
	if f.count(tokenAPI) != 0 {
		t.Error("WeChat was asked")
	}
}

// A rotated secret counts at once: neither a held failure nor the old account's token is used on, nor what is being fetched for it.
func TestToken_CredentialsChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var secret atomic.Value
		secret.Store("old")
		c, f := newFake(t, Options{Credentials: func() (string, string) { return testAppID, secret.Load().(string) }})
		defer c.Close()
		f.on(tokenAPI, script{func(r *http.Request) (*http.Response, error) {
			switch secret.Load() {
			case "old":
				return f.says(`{"errcode":40125}`).answer(r)
			case "slow":
				return slowly(6*time.Second, f.says(`{"access_token":"of slow","expires_in":7200}`)).answer(r)
			default:
				return f.says(`{"access_token":"of new","expires_in":7200}`).answer(r)
			}
		}})
		if err := c.CheckToken(t.Context()); KindOf(err) != SecretRejected {
			t.Fatal(err)
		}
		secret.Store("slow")
		var waiting sync.WaitGroup
		waiting.Go(func() { look(t, c) })
		synctest.Wait()
		secret.Store("new")
		look(t, c)
		if used(f) != "of new" {
			t.Errorf("used %s", used(f))
		}
		waiting.Wait()
		if used(f) != "of slow" {
			t.Errorf("the one that began before used %s", used(f))
		}
		look(t, c)
		if used(f) != "of new" || f.count(tokenAPI) != 3 {
			t.Errorf("used %s after %d fetches, want the new one's", used(f), f.count(tokenAPI))
		}
	})
}

// Whatever life WeChat gives a token, it is used for a minute to two hours.
func TestToken_Life(t *testing.T) {
	for expiresIn, want := range map[string]time.Duration{
		`,"expires_in":7200`: 2 * time.Hour, `,"expires_in":300`: 5 * time.Minute, `,"expires_in":1`: time.Minute,
		`,"expires_in":-5`: time.Minute, `,"expires_in":9223372036854775807`: 2 * time.Hour, ``: time.Minute,
	} {
		synctest.Test(t, func(t *testing.T) {
			c, f := newFake(t, Options{})
			defer c.Close()
			f.on(tokenAPI, f.says(`{"access_token":"good"`+expiresIn+`}`))
			look(t, c)
			life := time.Until(c.tokens.current.expires)
			if renew := time.Until(c.tokens.current.renew); life != want || renew <= 0 || renew >= life {
				t.Errorf("%q: it lives %v, is renewed after %v; want %v", expiresIn, life, renew, want)
			}
		})
	}
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := newFake(t, Options{})
		f.on(tokenAPI, f.hangs())
		failed := make(chan error, 1)
		go func() { failed <- c.CheckToken(t.Context()) }()
		synctest.Wait()
		c.Close()
		if err := <-failed; KindOf(err) != Canceled {
			t.Errorf("a waiting call: %v, want Canceled", err)
		}
		if err := c.CheckToken(t.Context()); KindOf(err) != Canceled {
			t.Errorf("a later call: %v, want Canceled", err)
		}
		c.Close()
	})
}

func TestNew_BaseURL(t *testing.T) {
	who := func() (string, string) { return testAppID, testSecret }
	for base, want := range map[string]string{
		"":                                  "https://api.weixin.qq.com",
		"https://sh.api.weixin.qq.com/\n":   "https://sh.api.weixin.qq.com",
		"http://relay.bots.svc:8080/wechat": "http://relay.bots.svc:8080/wechat",
	} {
		c, err := New(Options{BaseURL: base, Credentials: who})
		if err != nil || c.base.String() != want {
			t.Errorf("%q: %v, %v, want %s", base, c, err, want)
			continue
		}
		c.Close()
	}
	for _, base := range []string{
		"api.weixin.qq.com", "ftp://a.example", "https://", "https://user:" + testSecret + "@a.example", "https://a.example/?x=" + testSecret,
		"https://a.example/#x", "http://a b", "://",
	} {
		if _, err := New(Options{BaseURL: base, Credentials: who}); err == nil || strings.Contains(err.Error(), testSecret) {
			t.Errorf("%q: %v, want an error without what it quotes", base, err)
		}
	}
	if _, err := New(Options{}); err == nil {
		t.Error("no credentials, no error")
	}
}

// Our own transport follows no redirect: the token would go with it.
func TestRedirect(t *testing.T) {
	c, f := newFake(t, Options{})
	f.on(onlineAgentsAPI, f.answers(http.StatusFound, "text/html", ""))
	if _, err := c.OnlineAgents(t.Context()); KindOf(err) != BadAnswer || f.count(onlineAgentsAPI) != 1 {
		t.Errorf("%v after %d calls", err, f.count(onlineAgentsAPI))
	}
	if text := fmt.Sprint(asError(t, func() error { _, err := c.OnlineAgents(t.Context()); return err }())); !strings.HasSuffix(text, "BadAnswer, status 302") {
		t.Errorf("it says %q", text)
	}
}
