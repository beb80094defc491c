package wechatsim

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestOrders(t *testing.T) {
	const took, lost = 200, 0
	for _, test := range []struct {
		name    string
		order   Order
		status  int    // of the send; lost: the connection broke
		code    int    // its errcode
		body    string // its body, if it is not WeChat's
		after   time.Duration
		applied bool
	}{
		{"an errcode", Order{API: "custom/send", Code: 45015}, took, 45015, "", 0, false},
		{"busy", Order{Code: -1}, took, -1, "", 0, false},
		{"an errcode though it was taken", Order{Code: -1, Applied: true}, took, -1, "", 0, true},
		{"a status", Order{Status: 502, Body: "<html>"}, 502, 0, "<html>", 0, false},
		{"HTML", Order{Body: "<html>", Applied: true}, took, 0, "<html>", 0, true},
		{"nothing", Order{Empty: true}, took, 0, "", 0, false},
		{"an answer that is lost", Order{Lose: true, Applied: true}, lost, 0, "", 0, true},
		{"a call that is lost", Order{Lose: true}, lost, 0, "", 0, false},
		{"a closed port", Order{Refuse: true}, lost, 0, "", 0, false},
		{"latency", Order{Delay: 3 * time.Second}, took, 0, "", 3 * time.Second, true},
		{"another API", Order{API: "/typing", Code: 45015}, took, 0, "", 0, true},
		{"another follower", Order{OpenID: "oAnother", Code: 45015}, took, 0, "", 0, true},
		{"this follower", Order{OpenID: testOpenID, Code: 70000}, took, 70000, "", 0, false},
		{"the next one", Order{Skip: 1, Code: 45015}, took, 0, "", 0, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCaller(t, Options{})
				f := c.Follower(testOpenID)
				must(f.Send(t.Context(), "q"))
				c.Order(test.order)
				shown, start := f.Shown(), time.Now()
				response, err := c.do(t.Context(), http.MethodPost, SendPath, "application/json",
					`{"touser":"`+testOpenID+`","msgtype":"text","text":{"content":"a"}}`)
				if (err != nil) != (test.status == lost) || err == nil && response.status != test.status {
					t.Fatalf("%v, %v, want %d", response.status, err, test.status)
				}
				var answer map[string]any
				if test.body == "" && test.status == took && !test.order.Empty {
					if err := json.Unmarshal([]byte(response.body), &answer); err != nil || code(answer) != test.code {
						t.Errorf("%s (%v), want %d", response.body, err, test.code)
					}
				} else if response.body != test.body {
					t.Errorf("body %q, want %q", response.body, test.body)
				}
				if took := time.Since(start); took != test.after || (f.Shown() > shown) != test.applied {
					t.Errorf("after %v, applied %v; want %v, %v", took, f.Shown() > shown, test.after, test.applied)
				}
				c.violations(nil)
			})
		})
	}
}

func TestOrders_TimesAndCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t, Options{})
		must(c.Follower(testOpenID).Send(t.Context(), "q"))
		c.Order(Order{Code: 45009, Skip: 1, Times: 2})
		id := c.Order(Order{API: "send", Code: 45047})
		var got []int
		for range 4 {
			got = append(got, c.text(testOpenID, "a"))
		}
		if d := cmp.Diff([]int{0, 45009, 45009, 45047}, got); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		if o := c.Orders(); len(o) != 1 || o[0].Code != 45047 {
			t.Errorf("orders left: %v", o)
		}
		c.CancelOrder(id)
		c.Order(Order{Code: 1})
		c.CancelOrder(0)
		if got := c.text(testOpenID, "a"); got != 0 {
			t.Errorf("after all were cancelled: %d", got)
		}
	})
}

// What became of a message nobody knows: the same one must not come again, until the follower has done something.
func TestSentAgain(t *testing.T) {
	for name, o := range map[string]Order{
		"lost": {Lose: true, Times: 1}, "lost though taken": {Lose: true, Applied: true, Times: 1}, "500": {Status: 500, Times: 1},
		"nothing": {Empty: true, Times: 1}, "busy": {Code: -1, Times: 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newCaller(t, Options{})
			f := c.Follower(testOpenID)
			must(f.Send(t.Context(), "q"))
			c.Order(o)
			began := time.Now()
			body := `{"touser":"` + testOpenID + `","msgtype":"text","text":{"content":"a"}}`
			for range 2 {
				_, _ = c.do(t.Context(), http.MethodPost, SendPath, "application/json", body)
				<-time.After(time.Second)
			}
			if since := c.SentAgainSince(); len(since) != 1 || since[0].Sub(began) > time.Second/2 {
				t.Errorf("%s: sent again is what came at %v, want the first, at %v", name, since, began)
			}
			if n := c.Violations()[SentAgain]; n != 1 {
				t.Errorf("%s: %d violations, want 1", name, n)
			}
			must(f.Send(t.Context(), "q"))
			_, _ = c.do(t.Context(), http.MethodPost, SendPath, "application/json", body)
			if n := c.Violations()[SentAgain]; n != 1 {
				t.Errorf("%s: after another question it is a violation", name)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t, Options{})
		must(c.Follower(testOpenID).Send(t.Context(), "q"))
		c.Order(Order{Code: 45015, Times: 1})
		c.text(testOpenID, "a")
		c.text(testOpenID, "a")
		c.violations(nil)
	})
}

func TestControl(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t, Options{})
		f := c.Follower(testOpenID)
		must(f.Send(t.Context(), "q"))
		order := func(from, method, path, body string) (int, string) {
			r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
			r.RemoteAddr = from
			w := httptest.NewRecorder()
			c.Control().ServeHTTP(w, r)
			return w.Code, w.Body.String()
		}
		const here = "127.0.0.1:80"
		for _, from := range []string{"10.1.2.3:80", "[2001:db8::1]:80", "@", "name:1"} {
			if status, _ := order(from, "GET", "/-/state", ""); status != http.StatusForbidden {
				t.Errorf("from %s: %d", from, status)
			}
		}
		const wire = `{"api":"custom/send","openid":"` + testOpenID + `","skip":1,"times":2,"code":45047,"status":500,"body":"x","empty":true,"lose":true,"refuse":true,"applied":true,"delay":"1.5s"}`
		if status, body := order("[::1]:80", "POST", "/-/orders", wire); status != 200 || body != `{"id":1}` {
			t.Errorf("ordering: %d %s", status, body)
		}
		want := Order{"custom/send", testOpenID, 1, 2, 45047, 500, "x", true, true, true, true, 1500 * time.Millisecond}
		if d := cmp.Diff([]Order{want}, c.Orders()); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		if status, body := order(here, "GET", "/-/state", ""); status != 200 || !strings.Contains(body, wire) || !strings.Contains(body, `"kind":"verified-service"`) ||
			!strings.Contains(body, `"`+TokenPath+`":{"0":1}`) {
			t.Errorf("state: %d %s", status, body)
		}
		for _, bad := range []string{`{`, `{"delay":"soon"}`, `{"unknown":1}`, `{"times":-1}`, `{"status":99}`, `{} {}`, `"` + strings.Repeat("x", maxControl) + `"`} {
			if status, body := order(here, "POST", "/-/orders", bad); status != 400 {
				t.Errorf("%.40s: %d %s", bad, status, body)
			}
		}
		for _, path := range []string{"/-/orders/x", "/-/orders/7", "/-/orders/1"} {
			order(here, "DELETE", path, "")
		}
		if len(c.Orders()) != 0 {
			t.Errorf("orders %v", c.Orders())
		}
		c.Order(want)
		order(here, "DELETE", "/-/orders", "")
		if len(c.Orders()) != 0 {
			t.Errorf("orders %v", c.Orders())
		}
		if status, body := order(here, "POST", "/-/account", `{"agents":[{"account":"anna@shop","online":true}],"menu":[{"name":"a","type":"text","value":"v"}],
			"ipList":["198.51.100.0/24"],"seenFrom":"198.51.100.7"}`); status != 200 {
			t.Errorf("the account: %d %s", status, body)
		}
		if got := code(c.get(SelfMenuPath)); got != 0 {
			t.Errorf("from the list: %d", got)
		}
		for _, step := range []struct {
			path, body string
			status     int
		}{
			{"/-/agent/say", `{"openid":"` + testOpenID + `","text":"x"}`, 400},
			{"/-/agent/accept", `{"openid":"` + testOpenID + `","agent":"anna@shop"}`, 200},
			{"/-/agent/say", `{"openid":"` + testOpenID + `","text":"您好"}`, 200},
			{"/-/agent/close", `{"openid":"` + testOpenID + `"}`, 200},
			{"/-/agent/close", `{"openid":"` + testOpenID + `"}`, 400},
			{"/-/account", `{"kind":"personal","secret":"s","frozen":true,"killToken":true}`, 200},
			{"/-/account", `{"kind":"x"}`, 400},
		} {
			if status, body := order(here, "POST", step.path, step.body); status != step.status {
				t.Errorf("%s %s: %d %s", step.path, step.body, status, body)
			}
		}
		if status, body := order(here, "GET", "/-/transcript?openid="+testOpenID, ""); status != 200 || !strings.Contains(body, "您好") {
			t.Errorf("transcript: %d %s", status, body)
		}
		if status, _ := order(here, "GET", "/-/transcript?openid=oNobody", ""); status != 404 {
			t.Errorf("of nobody: %d", status)
		}
		if c.Kind() != PersonalSubscription || code(c.get(SelfMenuPath)) != 40001 {
			t.Error("the account has not changed")
		}
	})
}
