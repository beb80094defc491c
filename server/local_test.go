package server

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wechatbot/wechatbot-operator/api/serverlocal"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// local asks the local listener's handler as kubectl wechatbot does.
func (r *running) local(t *testing.T, method, path string, into any) (status int, body string) {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), method, "http://127.0.0.1:9091"+path, http.NoBody)
	request.Header.Set(serverlocal.Header, "test")
	w := httptest.NewRecorder()
	r.localHandler().ServeHTTP(w, request)
	body = w.Body.String()
	if into != nil && w.Code == http.StatusOK {
		d := json.NewDecoder(strings.NewReader(body))
		d.DisallowUnknownFields()
		if err := d.Decode(into); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
	}
	return w.Code, body
}

func TestLocalSessions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, minimal)
		p.dify.SetBehaviour(difysim.Behaviour{FirstText: time.Minute, Total: 2 * time.Minute})
		r := p.run(t)
		x := r.asked(t, r.platform(t), "SecretQuestion")
		time.Sleep(20 * time.Second)
		<-x
		var got serverlocal.Sessions
		status, body := r.local(t, http.MethodGet, "/sessions", &got)
		alias := r.alias("oSecretQuestion")
		if status != 200 || len(got.Sessions) != 1 || got.Sessions[0].Alias != alias || got.Next != "" {
			t.Fatalf("%d %s, want the follower %s", status, body, alias)
		}
		if strings.Contains(body, "Secret") {
			t.Errorf("an openid or a text is shown: %s", body)
		}
		open := got.Sessions[0].Open
		if len(open) != 1 || open[0].State != "answering" || time.Since(open[0].Since).Round(time.Second) != 20*time.Second || got.Sessions[0].Bytes < 100 {
			t.Errorf("the session is shown as %s", body)
		}

		var done serverlocal.Done
		if status, body := r.local(t, http.MethodPost, "/sessions/"+alias+"/stop", &done); status != 200 || !done.Changed {
			t.Errorf("stop: %d %s", status, body)
		}
		synctest.Wait()
		var after serverlocal.Sessions
		if _, body := r.local(t, http.MethodGet, "/sessions", &after); len(after.Sessions) != 1 || len(after.Sessions[0].Open) != 0 {
			t.Errorf("after the stop: %s", body)
		}
		if status, body := r.local(t, http.MethodPost, "/sessions/"+alias+"/stop", &done); status != 200 || done.Changed {
			t.Errorf("stop when nothing is open: %d %s", status, body)
		}
		if status, body := r.local(t, http.MethodPost, "/sessions/"+alias+"/clear", &done); status != 200 || !done.Changed {
			t.Errorf("clear: %d %s", status, body)
		}
		if _, body := r.local(t, http.MethodGet, "/sessions", &got); len(got.Sessions) != 1 || got.Sessions[0].Turns != 0 {
			t.Errorf("after the clear: %s", body)
		}
		if have, err := r.store.Get(t.Context(), "oSecretQuestion"); err != nil || len(have.Turns) != 0 || have.ConversationID != "" {
			t.Errorf("after the clear there is %+v, %v", have, err)
		}
		if got := p.lines(`"follower":"` + alias + `"`); got < 2 {
			t.Errorf("the log tells %d times whose session was touched:\n%s", got, p.log)
		}
	})
}

func TestLocalSessions_Refused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newPlace(t, minimal).run(t)
		for path, want := range map[string]int{
			"/sessions?limit=0": 400, "/sessions?limit=501": 400, "/sessions?limit=many": 400, "/sessions?from=nowhere": 400, "/sessions?limit=500": 200,
			"/menu": 409, "/status": 404, "/": 404,
		} {
			if status, body := r.local(t, http.MethodGet, path, nil); status != want {
				t.Errorf("%s: %d %s, want %d", path, status, body, want)
			}
		}
		for _, path := range []string{"/sessions/0123456789/clear", "/sessions/0123456789/stop"} {
			if status, body := r.local(t, http.MethodPost, path, nil); status != 404 || !strings.Contains(body, "no session has this alias") {
				t.Errorf("%s: %d %s", path, status, body)
			}
		}
	})
}

// Nobody but who reaches the loopback may list or clear: not the admin port, not the webhook's, and no page in a browser of
// who forwards the port.
func TestLocalSessions_NotForOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newPlace(t, minimal).run(t)
		for name, from := range map[string]http.RoundTripper{"admin": r.back.transport(), "webhook": r.front.transport()} {
			for _, path := range []string{"/sessions", "/menu"} {
				if status, body := read(t, from, path); status != 404 {
					t.Errorf("the %s port answers %s: %d %s", name, path, status, body)
				}
			}
		}
		for name, change := range map[string]func(*http.Request){
			"a name that leads here": func(r *http.Request) { r.Host = "evil.example.com:9091" },
			"an address":             func(r *http.Request) { r.Host = "10.0.0.7:9091" },
			"a form":                 func(r *http.Request) { r.Header.Del(serverlocal.Header) },
		} {
			request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1:9091/sessions/0123456789/clear", http.NoBody)
			request.Header.Set(serverlocal.Header, "test")
			change(request)
			w := httptest.NewRecorder()
			r.localHandler().ServeHTTP(w, request)
			if w.Code != http.StatusForbidden {
				t.Errorf("%s: %d %s", name, w.Code, w.Body)
			}
		}
	})
}

func TestLocalMenu(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newPlace(t, minimal+seed).runOfficial(t, wechatsim.VerifiedService)
		time.Sleep(time.Second)
		var got serverlocal.Menu
		if status, body := o.local(t, http.MethodGet, "/menu", &got); status != 200 || !got.Same || !got.Open || len(got.Configured) != 3 {
			t.Fatalf("%d %s", status, body)
		}
		if d := cmp.Diff(serverlocal.Button{Name: "官网", Type: "view", Does: "https://example.com/"}, got.Shown[0]); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		o.SetConsoleMenu([]wechatsim.Button{{Name: "by hand", Type: "view", URL: "https://a.example"}})
		got = serverlocal.Menu{}
		if status, body := o.local(t, http.MethodGet, "/menu", &got); status != 200 || got.Same || len(got.Shown) != 1 || got.Shown[0].Name != "by hand" {
			t.Errorf("%d %s", status, body)
		}
		o.Order(wechatsim.Order{API: wechatsim.SelfMenuPath, Code: 45009})
		if status, body := o.local(t, http.MethodGet, "/menu", nil); status != 502 || !strings.Contains(body, "45009") || strings.Contains(body, appSecret) {
			t.Errorf("a refused call: %d %s", status, body)
		}
	})
}

func TestLocalListener(t *testing.T) {
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for _, address := range []string{"0.0.0.0:9091", ":9091", "10.0.0.7:9091", "localhost"} {
		p := newPlace(t, minimal)
		o := p.options()
		o.Local = address
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), "not a loopback address") {
			t.Errorf("%s: got %v, want it refused", address, err)
		}
	}
	p := newPlace(t, minimal)
	o := p.options()
	o.Local = taken.Addr().String()
	s, err := New(o)
	if err != nil {
		t.Fatalf("a port that is taken: %v, want the server without it", err)
	}
	if s.local != nil || p.lines("Cannot listen for kubectl") != 1 {
		t.Errorf("the log says %s", p.log)
	}
	_, _ = s.webhook.Close(), s.admin.Close()

	p = newPlace(t, minimal)
	o = p.options()
	o.Local = "127.0.0.1:0"
	if s, err = New(o); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	response, err := http.Get("http://" + s.local.Addr().String() + "/sessions") //nolint:noctx // of the test
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if _ = response.Body.Close(); err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(body), `"sessions":[]`) {
		t.Errorf("%d %s %v", response.StatusCode, body, err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
}
