package server

import (
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// notHere is a store that another process has, of which nothing is known here.
type notHere struct {
	elsewhere

	at *atomic.Pointer[string] // where the other one is
}

func (n notHere) Elsewhere() (identity, address string) { return "this", *n.at.Load() }

func (notHere) Turn(context.Context, session.Key) (session.Turn, error) {
	return session.Turn{}, session.ErrElsewhere
}

func (notHere) Get(context.Context, string) (session.Session, error) {
	return session.Session{}, session.ErrElsewhere
}

// couple is a server that has the sessions, and one that stands by.
type couple struct {
	owner, standby *Server
	at             atomic.Pointer[string] // where the one that stands by takes the other one to be
	path           string                 // of the page of an answer with a picture
}

func newCouple(t *testing.T) *couple {
	t.Helper()
	c := &couple{}
	serve := func(change func(*place, *Server)) *Server {
		p := newPlace(t, withPage)
		s := p.server(t)
		p.asks(t, s)
		change(p, s)
		s.join()
		p.runs(t, s)
		return s
	}
	c.owner = serve(func(p *place, s *Server) {
		p.dify.SetBehaviour(difysim.Behaviour{Answer: "![海报](https://127.0.0.1:1/poster.png)\n\n" + long})
		s.store = alone{s.store, new(atomic.Bool)}
		s.engine.Store = s.store
	})
	c.at.Store(new(c.owner.Addr().String()))
	c.standby = serve(func(_ *place, s *Server) {
		s.store = notHere{elsewhere{alone: alone{s.store, new(atomic.Bool)}}, &c.at}
		s.engine.Store = s.store
	})
	platform, err := wechatsim.New(wechatsim.Account{URL: "http://" + c.standby.Addr().String() + "/wechat", Token: token}, wechatsim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := platform.Follower("")
	x, err := f.Send(t.Context(), "问")
	if err != nil {
		t.Fatal(err)
	}
	c.path = pathOf(t, x.Links)
	return c
}

// answered is a response without its body.
type answered struct {
	StatusCode int
	Header     http.Header
}

func (c *couple) get(t *testing.T, from *Server, method, path string, header http.Header) (answered, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, "http://"+from.Addr().String()+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(request.Header, header)
	once := &http.Transport{DisableKeepAlives: true}
	response, err := once.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answered{response.StatusCode, response.Header}, string(body)
}

// requests counts the requests for pages with a result.
func requests(t *testing.T, s *Server, result string) (n float64) {
	t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "wechatbot_page_requests_total" && m.GetLabel()[0].GetValue() == result {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

// A page whose answer another process has is that one's, to the last byte and header.
func TestPage_SessionsElsewhere(t *testing.T) {
	c := newCouple(t)
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		there, want := c.get(t, c.owner, method, c.path, nil)
		here, body := c.get(t, c.standby, method, c.path, nil)
		if here.StatusCode != http.StatusOK || body != want || method == http.MethodGet && !strings.Contains(body, "海报") {
			t.Errorf("%s: %d, %d bytes; want the %d bytes of the other", method, here.StatusCode, len(body), len(want))
		}
		for name := range there.Header {
			if name != "Date" && here.Header.Get(name) != there.Header.Get(name) {
				t.Errorf("%s: header %s is %q, want %q", method, name, here.Header.Get(name), there.Header.Get(name))
			}
		}
		if here.Header.Get("Wechatbot-Owner") != "" {
			t.Error("the client is told whose the answer is")
		}
	}
	if got := requests(t, c.standby, "forwarded"); got != 2 {
		t.Errorf("%v requests are counted as forwarded, want 2", got)
	}
	// The picture cannot be fetched: that is for the owner to find out.
	if r, _ := c.get(t, c.standby, http.MethodGet, c.path+"/0", nil); r.StatusCode != http.StatusNotFound || requests(t, c.owner, "fileFailed") != 1 {
		t.Errorf("the picture: %d, and the owner has tried it %v times", r.StatusCode, requests(t, c.owner, "fileFailed"))
	}
}

// What is refused without a look at the sessions is refused where it comes to.
func TestPage_SessionsElsewhere_Refused(t *testing.T) {
	c := newCouple(t)
	shown := func() float64 {
		return requests(t, c.owner, "shown") + requests(t, c.owner, "gone") + requests(t, c.owner, "limited")
	}
	if r, _ := c.get(t, c.standby, http.MethodGet, c.path[:len(c.path)-2]+"xx", nil); r.StatusCode != http.StatusNotFound {
		t.Errorf("a forged address: %d, want 404", r.StatusCode)
	}
	if got := shown(); got != 0 {
		t.Errorf("the owner was asked %v times for an address that is none", got)
	}
	// A reader's limit is the reader's on both: another one, behind the same proxy, is not concerned.
	greedy, other := http.Header{"X-Forwarded-For": {"203.0.113.7"}}, http.Header{"X-Forwarded-For": {"203.0.113.8"}}
	limited := 0
	for range 100 {
		r, _ := c.get(t, c.standby, http.MethodGet, c.path, greedy)
		if r.StatusCode == http.StatusTooManyRequests {
			limited++
		}
	}
	if limited == 0 || requests(t, c.owner, "limited") != 0 {
		t.Errorf("%d of 100 were refused here, and %v by the owner", limited, requests(t, c.owner, "limited"))
	}
	if r, _ := c.get(t, c.owner, http.MethodGet, c.path, http.Header{"X-Forwarded-For": {"203.0.113.7"}}); r.StatusCode != http.StatusTooManyRequests {
		t.Errorf("the same reader at the owner: %d, want 429", r.StatusCode)
	}
	if r, _ := c.get(t, c.standby, http.MethodGet, c.path, other); r.StatusCode != http.StatusOK {
		t.Errorf("another reader: %d, want 200", r.StatusCode)
	}
}

// A request for another process is none for this one, and no client can make itself one.
func TestPage_SessionsElsewhere_Misdirected(t *testing.T) {
	c := newCouple(t)
	for _, s := range []*Server{c.owner, c.standby} {
		if r, body := c.get(t, s, http.MethodGet, c.path, http.Header{"Wechatbot-Owner": {"somebody"}}); r.StatusCode != http.StatusMisdirectedRequest || strings.Contains(body, "海报") {
			t.Errorf("%d, want 421", r.StatusCode)
		}
	}
}

func TestPage_SessionsElsewhere_OwnerGone(t *testing.T) {
	c := newCouple(t)
	gone, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.at.Store(new(gone.Addr().String()))
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{c.path, c.path + "/0"} {
		if r, _ := c.get(t, c.standby, http.MethodGet, path, nil); r.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%d, want 503", r.StatusCode)
		}
	}
}
