package wechatsim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wechatbot/wechatbot-operator/server/wechat"
)

func TestExchange(t *testing.T) {
	abort := func(http.ResponseWriter, *http.Request, inbound) { panic(http.ErrAbortHandler) }
	tests := []struct {
		name     string
		script   []func(http.ResponseWriter, *http.Request, inbound)
		outcome  Outcome
		verdicts []Verdict
		took     time.Duration
		text     string
	}{
		{"a reply to the first delivery ends it", []func(http.ResponseWriter, *http.Request, inbound){after(4*time.Second, answers("hello"))},
			Replied, []Verdict{Answered}, 4 * time.Second, "hello"},
		{"success ends it without a reply", []func(http.ResponseWriter, *http.Request, inbound){says(200, "success")},
			Silent, []Verdict{Acknowledged}, 0, ""},
		{"an empty body ends it without a reply", []func(http.ResponseWriter, *http.Request, inbound){says(200, "")},
			Silent, []Verdict{Acknowledged}, 0, ""},
		{"a held delivery is retried after 5 s", []func(http.ResponseWriter, *http.Request, inbound){holds, after(time.Second, answers("late"))},
			Replied, []Verdict{Timeout, Answered}, 6 * time.Second, "late"},
		{"the third delivery is answered", []func(http.ResponseWriter, *http.Request, inbound){holds, holds, after(4500*time.Millisecond, answers("last"))},
			Replied, []Verdict{Timeout, Timeout, Answered}, 14500 * time.Millisecond, "last"},
		{"three timeouts are a fault", []func(http.ResponseWriter, *http.Request, inbound){holds},
			Fault, []Verdict{Timeout, Timeout, Timeout}, 15 * time.Second, ""},
		{"a fast failure waits for its 5 s before the retry", []func(http.ResponseWriter, *http.Request, inbound){says(503, "busy"), answers("ok")},
			Replied, []Verdict{"HTTP status 503", Answered}, 5 * time.Second, "ok"},
		{"a broken connection is retried", []func(http.ResponseWriter, *http.Request, inbound){abort, says(200, "success")},
			Silent, []Verdict{Broken, Acknowledged}, 5 * time.Second, ""},
		{"an answer after 5 s is lost", []func(http.ResponseWriter, *http.Request, inbound){after(5001*time.Millisecond, answers("lost")), says(200, "success")},
			Silent, []Verdict{Timeout, Acknowledged}, 5 * time.Second, ""},
		{"three illegal replies are a fault", []func(http.ResponseWriter, *http.Request, inbound){says(200, "ok"), answers(""), says(204, "")},
			Fault, []Verdict{"illegal reply: neither XML nor success", "illegal reply: an empty Content", "HTTP status 204"}, 10 * time.Second, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAccount(t, test.script...)
				p := simulate(t, testAccount(Plain), Options{}, a)
				f := p.Follower("")
				x, err := f.Send(t.Context(), "question")
				if err != nil {
					t.Fatal(err)
				}
				if x.Outcome != test.outcome || x.Text != test.text || x.Took != test.took {
					t.Errorf("exchange = %s %q after %v, want %s %q after %v", x.Outcome, x.Text, x.Took, test.outcome, test.text, test.took)
				}
				if d := cmp.Diff(test.verdicts, verdicts(x)); d != "" {
					t.Errorf("verdicts (-want +got):\n%s", d)
				}
				if x.Toast != (test.outcome == Fault) {
					t.Errorf("toast = %v after %s", x.Toast, x.Outcome)
				}
				for i, d := range x.Deliveries {
					if d.N != i+1 || d.Start.Sub(x.Start) != time.Duration(i)*5*time.Second {
						t.Errorf("delivery %d is numbered %d and starts after %v", i+1, d.N, d.Start.Sub(x.Start))
					}
				}
			})
		})
	}
}

// WeChat puts what a follower writes into a CDATA section as it is, whatever ends there.
func TestAFollowersTextIsNotEscaped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var body string
		p := simulate(t, testAccount(Plain), Options{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			body = string(b)
			_, _ = io.WriteString(w, "success")
		}))
		if _, err := p.Follower(testOpenID).Send(t.Context(), "if(a[b[0]]>1) <![CDATA[ \x01"); err != nil {
			t.Fatal(err)
		}
		if want := "<Content><![CDATA[if(a[b[0]]>1) <![CDATA[ \x01]]></Content>\n"; !strings.Contains(body, want) {
			t.Errorf("%q lacks %q", body, want)
		}
	})
}

func TestEveryDeliveryIsSignedForItself(t *testing.T) {
	for _, mode := range []Mode{Plain, Compatible, Secure} {
		t.Run(mode.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAccount(t, holds, holds, says(200, "success"))
				account := testAccount(mode)
				account.URL += "?bot=a%26b"
				p := simulate(t, account, Options{}, a)
				if _, err := p.Follower(testOpenID).Send(t.Context(), "a < b ]] > & c"); err != nil {
					t.Fatal(err)
				}
				got := a.received()
				if len(got) != 3 {
					t.Fatalf("%d deliveries, want 3", len(got))
				}
				nonces := map[string]bool{}
				for i, in := range got {
					checkDelivery(t, mode, got[0], in, i)
					nonces[in.query["nonce"]] = true
				}
				if len(nonces) != 3 {
					t.Errorf("nonces repeat: %v", nonces)
				}
			})
		})
	}
}

func checkDelivery(t *testing.T, mode Mode, first, in inbound, i int) {
	t.Helper()
	q := in.query
	if q["bot"] != "a&b" || q["openid"] != testOpenID {
		t.Errorf("query %v lacks the URL's own parameter or the openid", q)
	}
	if want := strconv.FormatInt(in.at.Unix(), 10); q["timestamp"] != want {
		t.Errorf("timestamp %s, want the time of sending %s", q["timestamp"], want)
	}
	if want := wechat.Sign(testToken, q["timestamp"], q["nonce"]); q["signature"] != want {
		t.Errorf("signature %s, want %s", q["signature"], want)
	}
	if in.MsgID == 0 || in.MsgID != first.MsgID || in.CreateTime != first.CreateTime {
		t.Errorf("delivery %d is message %d of %d, the first was %d of %d", i+1, in.MsgID, in.CreateTime, first.MsgID, first.CreateTime)
	}
	if in.Content != "a < b ]] > & c" || in.ToUserName != testOriginal || in.FromUserName != testOpenID {
		t.Errorf("delivery %d reads %q from %q to %q", i+1, in.Content, in.FromUserName, in.ToUserName)
	}
	if in.header.Get("Content-Type") != "text/xml" || in.header.Get("User-Agent") != "Mozilla/4.0" {
		t.Errorf("headers %v", in.header)
	}
	if (in.Encrypt != "") != (mode != Plain) {
		t.Errorf("%s mode: encrypted element %q", mode, in.Encrypt)
	}
	if mode == Plain {
		return
	}
	if want := wechat.Sign(testToken, q["timestamp"], q["nonce"], in.Encrypt); q["msg_signature"] != want || q["encrypt_type"] != "aes" {
		t.Errorf("query %v, want msg_signature %s and encrypt_type aes", q, want)
	}
}

func TestFollowersActions(t *testing.T) {
	type seen struct{ Type, Event, Key, Content, Menu, Label string }
	tests := []struct {
		name    string
		do      func(context.Context, *Follower) (*Exchange, error)
		want    seen
		allowed bool // whether a reply is legal
	}{
		{"text", func(ctx context.Context, f *Follower) (*Exchange, error) { return f.Send(ctx, "hi") }, seen{Type: "text", Content: "hi"}, true},
		{"tap", func(ctx context.Context, f *Follower) (*Exchange, error) {
			return f.Tap(ctx, Link{Send: "1", MenuID: "a&b"})
		}, seen{Type: "text", Content: "1", Menu: "a&b"}, true},
		{"tap without an id", func(ctx context.Context, f *Follower) (*Exchange, error) { return f.Tap(ctx, Link{Send: "1"}) }, seen{Type: "text", Content: "1"}, true},
		{"image", func(ctx context.Context, f *Follower) (*Exchange, error) { return f.Image(ctx, "http://p.example/0") }, seen{Type: "image"}, true},
		{"voice", func(ctx context.Context, f *Follower) (*Exchange, error) { return f.Voice(ctx) }, seen{Type: "voice"}, true},
		{"location", func(ctx context.Context, f *Follower) (*Exchange, error) {
			return f.Location(ctx, "30.5", "104.0", "成都")
		}, seen{Type: "location", Label: "成都"}, true},
		{"subscribe", func(ctx context.Context, f *Follower) (*Exchange, error) { return f.Follow(ctx) }, seen{Type: "event", Event: "subscribe"}, true},
		{"subscribe by code", func(ctx context.Context, f *Follower) (*Exchange, error) { return f.FollowByScan(ctx, "s") }, seen{Type: "event", Event: "subscribe", Key: "qrscene_s"}, true},
		{"scan", func(ctx context.Context, f *Follower) (*Exchange, error) { return f.Scan(ctx, "s") }, seen{Type: "event", Event: "SCAN", Key: "s"}, true},
		{"click", func(ctx context.Context, f *Follower) (*Exchange, error) { return f.Click(ctx, "help") }, seen{Type: "event", Event: "CLICK", Key: "help"}, true},
		{"unsubscribe", func(ctx context.Context, f *Follower) (*Exchange, error) { return f.Unfollow(ctx) }, seen{Type: "event", Event: "unsubscribe"}, false},
		{"view", func(ctx context.Context, f *Follower) (*Exchange, error) { return f.View(ctx, "https://p.example/") }, seen{Type: "event", Event: "VIEW", Key: "https://p.example/"}, false},
		{"report location", func(ctx context.Context, f *Follower) (*Exchange, error) {
			return f.ReportLocation(ctx, "30.5", "104.0")
		}, seen{Type: "event", Event: "LOCATION"}, false},
		{"a raw message", func(ctx context.Context, f *Follower) (*Exchange, error) {
			return f.Push(ctx, "<xml><ToUserName>"+testOriginal+"</ToUserName><FromUserName>"+testOpenID+"</FromUserName><MsgType>text</MsgType><Content>raw</Content></xml>")
		}, seen{Type: "text", Content: "raw"}, true},
		{"a raw event", func(ctx context.Context, f *Follower) (*Exchange, error) {
			return f.Push(ctx, "<xml><ToUserName>"+testOriginal+"</ToUserName><FromUserName>"+testOpenID+"</FromUserName><MsgType>event</MsgType><Event>view</Event></xml>")
		}, seen{Type: "event", Event: "view"}, false},
	}
	for _, test := range tests {
		for _, mode := range []Mode{Plain, Compatible, Secure} {
			t.Run(fmt.Sprintf("%s/%s", test.name, mode), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					a := newAccount(t, func(w http.ResponseWriter, _ *http.Request, in inbound) {
						sealedAnswer(t, mode, w, in, "fine")
					})
					p := simulate(t, testAccount(mode), Options{}, a)
					x, err := test.do(t.Context(), p.Follower(testOpenID))
					if err != nil {
						t.Fatal(err)
					}
					in := a.received()[0]
					if d := cmp.Diff(test.want, seen{in.MsgType, in.Event, in.EventKey, in.Content, in.MenuID, in.Label}); d != "" {
						t.Errorf("pushed (-want +got):\n%s", d)
					}
					if in.MsgType == "event" && in.MsgID != 0 {
						t.Errorf("event with MsgId %d", in.MsgID)
					}
					if test.allowed && (x.Outcome != Replied || x.Text != "fine") {
						t.Errorf("exchange = %s %q %v, want the reply", x.Outcome, x.Text, verdicts(x))
					}
					if !test.allowed && (x.Outcome != Fault || x.Toast || x.Deliveries[0].Verdict != "illegal reply: a reply to an event that allows none") {
						t.Errorf("exchange = %s, toast %v, %v; want a refusal that nobody sees", x.Outcome, x.Toast, verdicts(x))
					}
				})
			})
		}
	}
}

// sealedAnswer answers in the form that the mode asks for.
func sealedAnswer(t *testing.T, mode Mode, w http.ResponseWriter, in inbound, content string) {
	t.Helper()
	body := textReply(in.FromUserName, in.ToUserName, content)
	if mode == Secure {
		body = sealed(t, body, "1767225601", "nonce")
	}
	_, _ = w.Write([]byte(body))
}

func sealed(t *testing.T, inner, timestamp, nonce string) string {
	t.Helper()
	c, err := wechat.NewCipher(testKey, testAppID)
	if err != nil {
		t.Fatal(err)
	}
	encrypted := c.Seal([16]byte{1}, []byte(inner))
	return fmt.Sprintf("<xml><Encrypt><![CDATA[%s]]></Encrypt><MsgSignature><![CDATA[%s]]></MsgSignature><TimeStamp>%s</TimeStamp><Nonce><![CDATA[%s]]></Nonce></xml>",
		encrypted, wechat.Sign(testToken, timestamp, nonce, encrypted), timestamp, nonce)
}

func TestTapOnAnOrdinaryLink(t *testing.T) {
	p := simulate(t, testAccount(Plain), Options{}, newAccount(t, says(200, "success")))
	if x, err := p.Follower("").Tap(t.Context(), Link{Label: "page", URL: "https://p.example/"}); !errors.Is(err, ErrNotTapLink) || x != nil {
		t.Errorf("Tap = %v, %v, want ErrNotTapLink", x, err)
	}
}

func TestRawDocumentWithoutEndInCompatibleMode(t *testing.T) {
	p := simulate(t, testAccount(Compatible), Options{}, newAccount(t, says(200, "success")))
	if x, err := p.Follower("").Push(t.Context(), "<xml><a>"); !errors.Is(err, errNoEnd) || len(x.Deliveries) != 0 {
		t.Errorf("Push = %v, %v, want the missing end", x, err)
	}
}

func TestTranscript(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		link := `<a href="weixin://bizmsgmenu?msgmenucontent=1&msgmenuid=7">继续</a>`
		a := newAccount(t, answers("part "+link), holds, holds, holds, says(200, "success"))
		p := simulate(t, testAccount(Plain), Options{}, a)
		f := p.Follower("")
		x, err := f.Send(t.Context(), "question")
		if err != nil {
			t.Fatal(err)
		}
		for _, do := range []func() (*Exchange, error){
			func() (*Exchange, error) { return f.Tap(t.Context(), x.Links[0]) },
			func() (*Exchange, error) { return f.Follow(t.Context()) },
			func() (*Exchange, error) { return f.Image(t.Context(), "http://p.example/0") },
		} {
			if _, err := do(); err != nil {
				t.Fatal(err)
			}
		}
		start := x.Start
		want := []Bubble{
			{At: start, From: FromFollower, Type: "text", Text: "question"},
			{At: start, From: FromAccount, Type: "text", Text: "part " + link, Links: []Link{{Label: "继续", URL: "weixin://bizmsgmenu?msgmenucontent=1&msgmenuid=7", Send: "1", MenuID: "7"}}},
			{At: start, From: FromFollower, Type: "text", Text: "1"},
			{At: start.Add(15 * time.Second), From: FromSystem, Type: "text", Text: "该公众号提供的服务出现故障，请稍后再试"},
			{At: start.Add(15 * time.Second), From: FromFollower, Type: "image", Text: "[image]"},
		}
		if d := cmp.Diff(want, f.Transcript()); d != "" {
			t.Errorf("transcript (-want +got):\n%s", d)
		}
		if p.Follower(f.OpenID()) != f {
			t.Error("the same openid gives another follower")
		}
	})
}

func TestTranscriptIsBounded(t *testing.T) {
	f := simulate(t, testAccount(Plain), Options{}, newAccount(t, says(200, ""))).Follower("")
	for i := range 3 * maxBubbles {
		f.see(Bubble{Text: strconv.Itoa(i)})
	}
	got := f.Transcript()
	if len(got) > maxBubbles || got[len(got)-1].Text != strconv.Itoa(3*maxBubbles-1) {
		t.Errorf("%d bubbles, the last %q; want at most %d and the newest", len(got), got[len(got)-1].Text, maxBubbles)
	}
}

func TestCallerGivesUp(t *testing.T) {
	for _, when := range []time.Duration{2 * time.Second, 7 * time.Second, 4 * time.Second} {
		t.Run(when.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first := holds
				if when == 4*time.Second {
					first = says(500, "") // gives up between two deliveries
				}
				p := simulate(t, testAccount(Plain), Options{MarkFailThreshold: 2}, newAccount(t, first, holds))
				ctx, cancel := context.WithTimeout(t.Context(), when)
				defer cancel()
				x, err := p.Follower("").Send(ctx, "question")
				if !errors.Is(err, context.DeadlineExceeded) || x.Took != when {
					t.Errorf("Send = %v after %v, want the deadline after %v", err, x.Took, when)
				}
				if s := p.Stats(); s.Faults != 0 || s.Toasts != 0 || s.Deliveries != len(x.Deliveries) {
					t.Errorf("stats %+v count what the caller ended", s)
				}
			})
		})
	}
}

func TestObserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var got []string
		o := Options{MarkFailThreshold: 1, Observer: func(e Event) {
			mu.Lock()
			defer mu.Unlock()
			line := fmt.Sprintf("%s %d %s", e.Type, e.Delivery.N, e.Delivery.Verdict)
			if e.Exchange != nil {
				line += string(e.Exchange.Outcome)
			}
			got = append(got, line)
		}}
		p := simulate(t, testAccount(Plain), o, newAccount(t, answers("a"), says(500, "")))
		f := p.Follower("")
		for range 2 {
			if _, err := f.Send(t.Context(), "q"); err != nil {
				t.Fatal(err)
			}
		}
		want := []string{
			"delivery started 1 ", "delivery ended 1 answered", "exchange ended 0 replied",
			"delivery started 1 ", "delivery ended 1 HTTP status 500", "account blocked 1 HTTP status 500", "exchange ended 0 blocked",
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("events (-want +got):\n%s", d)
		}
	})
}

func TestThousandsOfFollowers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const followers = 3000
		a := newAccount(t, func(w http.ResponseWriter, r *http.Request, in inbound) {
			after(2*time.Second, answers(in.Content))(w, r, in)
		})
		p := simulate(t, testAccount(Plain), Options{}, a)
		var all sync.WaitGroup
		for i := range followers {
			all.Go(func() {
				text := strconv.Itoa(i)
				if x, err := p.Follower("").Send(t.Context(), text); err != nil || x.Text != text {
					t.Errorf("follower %d got %q, %v", i, x.Text, err)
				}
			})
		}
		all.Wait()
		ids := map[int64]bool{}
		for _, in := range a.received() {
			ids[in.MsgID] = true
		}
		if s := p.Stats(); s.Answered != followers || len(ids) != followers || s.Latency.Max != 2*time.Second {
			t.Errorf("%d message ids, stats %+v; want %d of each", len(ids), s, followers)
		}
	})
}

func BenchmarkExchange(b *testing.B) {
	for _, mode := range []Mode{Plain, Secure} {
		b.Run(mode.String(), func(b *testing.B) {
			account := testAccount(mode)
			transport := HandlerTransport(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(wechat.Success)) }))
			p, err := New(account, Options{Transport: transport})
			if err != nil {
				b.Fatal(err)
			}
			f := p.Follower("")
			b.ReportAllocs()
			for b.Loop() {
				if x, err := f.Send(b.Context(), "我们几点关门？"); err != nil || x.Outcome != Silent {
					b.Fatal(x, err)
				}
			}
		})
	}
}
