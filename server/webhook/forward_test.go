package webhook

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/wechat"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// here is that the sessions are this process'.
func here() (identity, address string) { return "", "" }

// pair is a process that has the sessions and one that stands by for it. Each has a Dify of its own, so that it shows
// who has answered.
type pair struct{ owner, standby *world }

const ownerAddress = "192.0.2.1:8080"

// newPair makes a pair in a bubble; dial connects the second to the first, unless it is nil.
func newPair(t *testing.T, o wechat.Options, b difysim.Behaviour, dial func(context.Context) (net.Conn, error)) pair {
	t.Helper()
	b.Answer = "the owner's"
	p := pair{newWorld(t, o, b), newWorld(t, o, difysim.Behaviour{Answer: "the standby's"})}
	p.owner.handler.Join(Peers{Self: "owner/1", Elsewhere: here})
	if dial == nil {
		l := p.owner.serve(t)
		dial = func(context.Context) (net.Conn, error) { return l.connect() }
	}
	p.standby.handler.Join(Peers{
		Self: "standby/1", Elsewhere: func() (string, string) { return "owner/1", ownerAddress },
		Dial: func(ctx context.Context, address string) (net.Conn, error) {
			if address != ownerAddress {
				t.Errorf("it connects to %s", address)
			}
			return dial(ctx)
		},
	})
	t.Cleanup(p.standby.handler.Leave)
	t.Cleanup(p.owner.handler.Leave)
	return p
}

func send(t *testing.T, p *wechatsim.Platform, text string) *wechatsim.Exchange {
	t.Helper()
	x, err := p.Follower("").Send(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// A push that comes to a process without the sessions is answered by the one that has them, as if it had come there.
func TestAPushIsAnsweredByWhoHasTheSessions(t *testing.T) {
	for name, mode := range map[string]wechatsim.Mode{"plain": wechatsim.Plain, "compatible": wechatsim.Compatible, "secure": wechatsim.Secure} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := newPair(t, loadManifest(t).options(mode), difysim.Behaviour{Total: 2 * time.Second}, nil)
				x := send(t, p.standby.platform(t, mode), "question")
				if x.Text != "the owner's" || len(x.Deliveries) != 1 || x.Deliveries[0].Took != 2*time.Second {
					t.Errorf("%+v", x)
				}
				if x := send(t, p.standby.platform(t, mode), "/nothing of that name"); x.Outcome != wechatsim.Replied {
					t.Errorf("%+v", x)
				}
				if n := p.standby.count("wechatbot_pushes_total", "type", "text", "outcome", "forwarded"); n != 2 {
					t.Errorf("%d pushes were forwarded", n)
				}
				if n := p.standby.dify.CallCount(); n != 0 {
					t.Errorf("the standby has asked Dify %d times", n)
				}
				synctest.Wait()
				if n := p.owner.count("wechatbot_pushes_total", "type", "text", "outcome", "answered"); n != 2 {
					t.Errorf("the owner has answered %d pushes", n)
				}
			})
		})
	}
}

// A delivery that its owner lets time out is let time out, and the next one joins its question there.
func TestForwardedDeliveriesAreHeld(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPair(t, loadManifest(t).options(wechatsim.Plain), difysim.Behaviour{Total: 12 * time.Second, FirstText: 12 * time.Second}, nil)
		x := send(t, p.standby.platform(t, wechatsim.Plain), "question")
		if x.Text != "the owner's" || x.Took != 12*time.Second || len(x.Deliveries) != 3 {
			t.Errorf("%+v", x)
		}
		synctest.Wait()
		if calls, waiting := p.owner.dify.CallCount(), p.owner.metric("wechatbot_deliveries_waiting").GetGauge().GetValue(); calls != 1 || waiting != 0 {
			t.Errorf("Dify was asked %d times, and %v deliveries still wait", calls, waiting)
		}
	})
}

// respond answers the first request on a connection with a response's text.
func respond(response string) func(context.Context) (net.Conn, error) {
	return func(context.Context) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer func() { _ = server.Close() }()
			r, err := http.ReadRequest(bufio.NewReader(server))
			if err != nil {
				return
			}
			if _, err := io.Copy(io.Discard, r.Body); err == nil {
				_, _ = io.WriteString(server, response)
			}
		}()
		return client, nil
	}
}

// Whatever keeps a push from being forwarded, it is answered; nobody else's answer is shown for the owner's.
func TestWhatCannotBeForwardedIsAnsweredHere(t *testing.T) {
	long := strings.Repeat("x", maxForwarded+1)
	for name, c := range map[string]struct {
		dial func(context.Context) (net.Conn, error)
		told string // by the log; nothing, if it is the usual way of an owner that stops
	}{
		"nobody listens":    {func(context.Context) (net.Conn, error) { return nil, errors.New("connection refused") }, "connection refused"},
		"breaks off":        {respond(""), ""},
		"another process":   {respond("HTTP/1.1 421 Misdirected Request\r\nContent-Length: 0\r\n\r\n"), "it answers 421"},
		"another service":   {respond("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), "it answers 200"},
		"breaks off midway": {respond("HTTP/1.1 200 OK\r\nWechatbot-Owner: owner/1\r\nContent-Length: 5\r\n\r\nhel"), "reading its answer"},
		"never ends": {respond("HTTP/1.1 200 OK\r\nWechatbot-Owner: owner/1\r\nContent-Length: " + lengthOf(long) + "\r\n\r\n" + long),
			"its answer is too long"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := newPair(t, loadManifest(t).options(wechatsim.Plain), difysim.Behaviour{}, c.dial)
				platform := p.standby.platform(t, wechatsim.Plain)
				for range 2 {
					if x := send(t, platform, "question"); x.Text != "the standby's" || len(x.Deliveries) != 1 {
						t.Errorf("%+v", x)
					}
				}
				log := p.standby.log.String()
				told := strings.Count(log, "A push waits for the sessions")
				if c.told == "" && told != 0 || c.told != "" && (told != 1 || !strings.Contains(log, c.told)) {
					t.Errorf("the log says %s", log)
				}
				if strings.Contains(log, "question") || strings.Contains(log, "signature") {
					t.Errorf("the log tells too much: %s", log)
				}
			})
		})
	}
}

// Who has the sessions may not be known by an address: an older release does not say it.
func TestWithoutAnAddressNothingIsForwarded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, loadManifest(t).options(wechatsim.Plain), difysim.Behaviour{Answer: "the standby's"})
		w.handler.Join(Peers{Self: "standby/1", Elsewhere: func() (string, string) { return "owner/1", "" }})
		t.Cleanup(w.handler.Leave)
		if x := send(t, w.platform(t, wechatsim.Plain), "question"); x.Text != "the standby's" {
			t.Errorf("%+v", x)
		}
	})
}

// What is forwarded is bounded, in number and in size. The rest waits for the sessions.
func TestNotTooMuchIsForwardedAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPair(t, loadManifest(t).options(wechatsim.Plain), difysim.Behaviour{}, nil)
		platform := p.standby.platform(t, wechatsim.Plain)
		for range atOnce {
			p.standby.handler.peers.places <- struct{}{}
		}
		if x := send(t, platform, "question"); x.Text != "the standby's" {
			t.Errorf("one too many: %+v", x)
		}
		<-p.standby.handler.peers.places
		if x := send(t, platform, strings.Repeat("x", usualBody)); x.Outcome != wechatsim.Replied || p.owner.dify.CallCount() > 0 {
			t.Errorf("one too large: %+v", x)
		}
		for range 2 {
			if x := send(t, platform, "question"); x.Text != "the owner's" {
				t.Errorf("the last place: %+v", x)
			}
		}
	})
}

// A process that hangs keeps no follower from an answer: what can wait is delivered again, the last delivery is replied
// to.
func TestTakeover_HangingOwner(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPair(t, loadManifest(t).options(wechatsim.Plain), difysim.Behaviour{}, func(context.Context) (net.Conn, error) {
			client, server := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, server) }()
			return client, nil
		})
		x := send(t, p.standby.platform(t, wechatsim.Plain), "question")
		if len(x.Deliveries) != Deliveries || x.Outcome != wechatsim.Replied || x.Deliveries[2].Took < lastForward || x.Deliveries[2].Took >= deliveryGap {
			t.Errorf("%+v", x)
		}
	})
}

// Of two processes that each take the other for the owner one answers.
func TestForwardedPushesAreNotForwardedAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPair(t, loadManifest(t).options(wechatsim.Plain), difysim.Behaviour{}, nil)
		p.owner.handler.peers.Elsewhere = func() (string, string) { return "standby/1", "192.0.2.2:8080" }
		p.owner.handler.peers.Dial = func(context.Context, string) (net.Conn, error) {
			t.Error("it was forwarded back")
			return nil, errors.New("connection refused")
		}
		if x := send(t, p.standby.platform(t, wechatsim.Plain), "question"); x.Text != "the owner's" {
			t.Errorf("%+v", x)
		}
	})
}

// An owner that gives the sessions up gives the pushes back that others have forwarded, at once, and keeps those that
// have come to itself.
func TestLeaveGivesForwardedPushesBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPair(t, loadManifest(t).options(wechatsim.Plain), difysim.Behaviour{Total: 4 * time.Second}, nil)
		done := make(chan *wechatsim.Exchange, 2)
		for _, via := range []*world{p.standby, p.owner} {
			platform := via.platform(t, wechatsim.Plain)
			go func() {
				x, err := platform.Follower("").Send(t.Context(), "question")
				if err != nil {
					t.Error(err)
				}
				done <- x
			}()
		}
		time.Sleep(time.Second) // of the bubble's
		synctest.Wait()
		p.owner.handler.Leave()
		if x := <-done; x.Text != "the standby's" || x.Took != time.Second || len(x.Deliveries) != 1 {
			t.Errorf("what was forwarded: %+v", x)
		}
		if x := <-done; x.Text != "the owner's" || x.Took != 4*time.Second {
			t.Errorf("what was not: %+v", x)
		}
		if log := p.standby.log.String(); strings.Contains(log, "waits for the sessions") {
			t.Errorf("the log says %s", log)
		}
		if x := send(t, p.standby.platform(t, wechatsim.Plain), "another"); x.Text != "the standby's" || x.Took != 0 {
			t.Errorf("one that comes too late: %+v", x)
		}
	})
}

// Only what is WeChat's is forwarded, and what is forwarded must be WeChat's too, and meant for this process.
func TestStrangersForwardNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPair(t, loadManifest(t).options(wechatsim.Plain), difysim.Behaviour{}, func(context.Context) (net.Conn, error) {
			t.Error("it was forwarded")
			return nil, errors.New("connection refused")
		})
		forged := path + "?" + signed("anotherToken", time.Now())
		if got := must(t, p.standby.inProcess(t), http.MethodPost, forged, textPush("question", 1)); got.status != http.StatusForbidden {
			t.Errorf("a stranger's push: %d", got.status)
		}
		for identity, want := range map[string]int{"owner/1": http.StatusOK, "owner/0": http.StatusMisdirectedRequest, "": http.StatusMisdirectedRequest} {
			for query, want := range map[string]int{signed(p.owner.Token, time.Now()): want, signed("anotherToken", time.Now()): http.StatusForbidden} {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://bot.invalid"+path+"?"+query, strings.NewReader(textPush("/help", 1)))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set(ownerHeader, identity)
				response, err := p.owner.inProcess(t).RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				_ = response.Body.Close()
				if got := response.Header.Get(ownerHeader); response.StatusCode != want || (got == "owner/1") != (want == http.StatusOK) {
					t.Errorf("for %q: %d from %q, want %d", identity, response.StatusCode, got, want)
				}
			}
		}
	})
}

// A process that stands by asks over the network whether the owner lives.
func TestAlive(t *testing.T) {
	w := newWorld(t, wechat.Options{Tokens: []string{"token"}}, difysim.Behaviour{})
	w.handler.Join(Peers{Self: "owner/1", Elsewhere: here})
	t.Cleanup(w.handler.Leave)
	owner, silent := httptest.NewServer(w.handler), httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer owner.Close()
	defer silent.Close()
	gone := httptest.NewServer(w.handler)
	gone.Close()
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	for name, tt := range map[string]struct {
		identity string
		at       *httptest.Server
		want     bool
	}{
		"the owner":                {"owner/1", owner, true},
		"another process is there": {"owner/2", owner, false},
		"something else is there":  {"owner/1", other, false},
		"nobody is there":          {"owner/1", gone, false},
		"it hangs":                 {"owner/1", silent, false},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if got := Alive(ctx, tt.identity, tt.at.Listener.Addr().String()); got != tt.want {
				t.Errorf("Alive: %v", got)
			}
		})
	}
}
