package webhook

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

func TestDeliveryIsToldByItsAge(t *testing.T) {
	for age, want := range map[time.Duration]int{
		-time.Second: 1, 0: 1, time.Second: 1, 3 * time.Second: 1,
		4 * time.Second: 2, 5 * time.Second: 2, 8 * time.Second: 2,
		9 * time.Second: 3, 10 * time.Second: 3, 30 * time.Second: 3, time.Hour: 3,
	} {
		if got := delivery(age); got != want {
			t.Errorf("%v after its message it is delivery %d, want %d", age, got, want)
		}
	}
}

// What the follower gets depends on how long Dify takes: see design "Reply timing".
func TestReplyIsInTime(t *testing.T) {
	for name, c := range map[string]struct {
		dify       difysim.Behaviour
		deliveries int
		last       time.Duration // what the last delivery takes
		contains   string
	}{
		"within the first delivery":   {difysim.Behaviour{Total: 4 * time.Second, Answer: "whole"}, 1, 4 * time.Second, "whole"},
		"within the second":           {difysim.Behaviour{Total: 8 * time.Second, Answer: "whole"}, 2, 3 * time.Second, "whole"},
		"within the third":            {difysim.Behaviour{Total: 13 * time.Second, Answer: "whole"}, 3, 3 * time.Second, "whole"},
		"later, and nothing has come": {difysim.Behaviour{FirstText: 20 * time.Second, Total: 21 * time.Second}, 3, 4500 * time.Millisecond, "Thinking"},
		"later, and a part has come":  {difysim.Behaviour{Total: 30 * time.Second, Length: 300}, 3, 4500 * time.Millisecond, "msgmenucontent=1"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, loadManifest(t).options(wechatsim.Plain), c.dify)
				// Sockets, so that the time in which a delivery is given up is the server's and the platform's as it is on a wire.
				p := w.platformOver(t, wechatsim.Plain, w.serve(t).transport(t))
				x, err := p.Follower(w.OpenID).Send(t.Context(), "a question")
				if err != nil {
					t.Fatal(err)
				}
				last := x.Deliveries[len(x.Deliveries)-1]
				if x.Outcome != wechatsim.Replied || !strings.Contains(x.Text, c.contains) || len(x.Deliveries) != c.deliveries {
					t.Errorf("%s with %q after %d deliveries, want %q after %d", x.Outcome, x.Text, len(x.Deliveries), c.contains, c.deliveries)
				}
				if last.Took != c.last {
					t.Errorf("the last delivery took %v, want %v", last.Took, c.last)
				}
				for _, d := range x.Deliveries[:len(x.Deliveries)-1] {
					if d.Verdict != wechatsim.Timeout || d.Status != 0 {
						t.Errorf("delivery %d got %s, want it left to time out", d.N, d.Verdict)
					}
				}
			})
		})
	}
}

// A held delivery that its sender does not give up ends by itself, without a response.
func TestHeldDeliveryEndsWithoutAResponse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, loadManifest(t).options(wechatsim.Plain), difysim.Behaviour{Total: 20 * time.Second})
		began := time.Now()
		push := textPush("a question", 1)
		response, after := raw(t, w.serve(t).dial(t), "POST "+path+"?"+signed(w.Token, began)+" HTTP/1.1\r\nHost: bot\r\nContent-Length: "+
			lengthOf(push)+"\r\n\r\n"+push)
		if response != "" || after != HoldFor {
			t.Errorf("the delivery ended after %v with %q, want the end of the connection after %v", after, response, HoldFor)
		}
	})
}

// WeChat's patience began with the first byte that it sent, however long the rest took.
func TestDeadlineCountsFromTheFirstByte(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, loadManifest(t).options(wechatsim.Plain), difysim.Behaviour{FirstText: 10 * time.Second, Total: 11 * time.Second})
		w.handler.engine.Configure(settings(0))
		c := w.serve(t).dial(t)
		for id := 1; id <= 2; id++ { // the second request comes over a connection that was idle meanwhile
			push := strings.Replace(textPush("a question", id), "oTk5q6W", "oTk5q6"+strconv.Itoa(id), 1)
			request := "POST " + path + "?" + signed(w.Token, time.Now()) + " HTTP/1.1\r\nHost: bot\r\nContent-Length: " + lengthOf(push) + "\r\n\r\n" + push
			began := time.Now()
			for _, part := range []string{request[:1], request[1:80], request[80:]} {
				if _, err := io.WriteString(c, part); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
			}
			response := readResponse(t, c)
			if after := time.Since(began); after != 4500*time.Millisecond || !strings.Contains(response, "Thinking") {
				t.Errorf("request %d was answered after %v with %q, want the waiting line after 4.5s", id, after, response)
			}
			time.Sleep(20 * time.Second) // idle, below the server's patience; the turn ends
		}
	})
}

// brokenWriter is a connection that ends while a reply is written to it.
type brokenWriter struct{ *httptest.ResponseRecorder }

func (brokenWriter) FlushError() error { return errors.New("broken pipe") }

// What is shown counts as seen when it was written, and only then.
func TestOnlyWrittenRepliesCountAsSeen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, loadManifest(t).options(wechatsim.Plain), difysim.Behaviour{Length: 2500})
		via := w.inProcess(t)
		ask := func(id int, text string) string {
			return must(t, via, http.MethodPost, path+"?"+signed(w.Token, time.Now()), textPush(text, id)).body
		}
		first := ask(1, "a question")
		push := func(ctx context.Context, out http.ResponseWriter, id int) {
			r := httptest.NewRequestWithContext(ctx, http.MethodPost, path+"?"+signed(w.Token, time.Now()), strings.NewReader(textPush("1", id)))
			defer func() {
				if cause := recover(); cause != nil && cause != any(http.ErrAbortHandler) {
					panic(cause)
				}
			}()
			w.handler.ServeHTTP(out, r)
		}
		broken := httptest.NewRecorder()
		push(t.Context(), brokenWriter{broken}, 2)
		synctest.Wait() // what could not be written is taken back in the background
		ctx, hangUp := context.WithCancel(t.Context())
		calls := 0
		w.handler.now = func() time.Time {
			calls++
			if calls == 3 { // on arrival, to open the push, to write the reply
				hangUp()
			}
			return time.Now()
		}
		gone := httptest.NewRecorder()
		push(ctx, gone, 3)
		synctest.Wait()
		w.handler.now = time.Now
		if calls != 3 || gone.Body.Len() != 0 {
			t.Errorf("after %d looks at the clock the connection that has gone got %q", calls, gone.Body)
		}
		second := ask(4, "1")
		if second != broken.Body.String() || content(second) == content(first) {
			t.Errorf("after two replies that were lost, 1 gives %q, want the second page %q", content(second), content(broken.Body.String()))
		}
		if third := ask(5, "1"); content(third) == content(second) || content(third) == content(first) {
			t.Errorf("1 gives %q again, want the third page", content(third))
		}
	})
}

// content is a plain reply's text.
func content(reply string) string {
	_, text, _ := strings.Cut(reply, "<Content>")
	return text
}

// A text that WeChat would show as a fault is not sent.
func TestReply_UnshowableIsAcknowledged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, loadManifest(t).options(wechatsim.Plain), difysim.Behaviour{})
		s := settings(30)
		s.Texts = turn.NewTexts(turn.English, map[string]string{turn.TextHelp: "\x01"})
		w.handler.engine.Configure(s)
		got := must(t, w.inProcess(t), http.MethodPost, path+"?"+signed(w.Token, time.Now()), textPush("/help", 1))
		if got.status != http.StatusOK || got.body != "success" || !strings.Contains(w.log.String(), "Could not write a reply") {
			t.Errorf("%d %q, and the log says %s", got.status, got.body, w.log)
		}
	})
}

// WeChat is to push the event again when a follower could not be forgotten.
func TestForget_RepeatedAfterFailure(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, loadManifest(t).options(wechatsim.Plain), difysim.Behaviour{})
		w.store.failure = errors.New("no answer")
		x, err := w.platform(t, wechatsim.Plain).Follower(w.OpenID).Unfollow(t.Context())
		if err != nil || x.Outcome != wechatsim.Fault || len(x.Deliveries) != Deliveries || x.Deliveries[0].Verdict != wechatsim.Broken {
			t.Errorf("%v, %v, want every delivery left without a response", x, err)
		}
	})
}

// A reply that nobody takes is not counted as seen: the next delivery gets it.
func TestReplyToAClosedConnectionIsNotLost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, loadManifest(t).options(wechatsim.Plain), difysim.Behaviour{Total: 2 * time.Second, Answer: "the answer"})
		transport := wechatsim.HandlerTransport(w.handler)
		push := textPush("a question", 1)
		ctx, hangUp := context.WithTimeout(t.Context(), time.Second)
		defer hangUp()
		if _, err := do(ctx, t, transport, http.MethodPost, path+"?"+signed(w.Token, time.Now()), push); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v, want to be gone first", err)
		}
		transport.Wait()
		time.Sleep(5 * time.Second)
		got := must(t, transport, http.MethodPost, path+"?"+signed(w.Token, time.Now()), textPush("1", 2))
		if !strings.Contains(got.body, "the answer") {
			t.Errorf("1 gives %q, want the answer", got.body)
		}
		if w.dify.CallCount() != 1 {
			t.Errorf("%d calls of Dify, want 1", w.dify.CallCount())
		}
	})
}

// WeChat demands that a follower who leaves is forgotten; if that fails it is to say so again.
func TestLeavingFollowerIsForgotten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, loadManifest(t).options(wechatsim.Plain), difysim.Behaviour{Answer: "the answer"})
		f := w.platform(t, wechatsim.Plain).Follower(w.OpenID)
		for i, leave := range []func() (*wechatsim.Exchange, error){
			func() (*wechatsim.Exchange, error) { return f.Unfollow(t.Context()) },
			func() (*wechatsim.Exchange, error) {
				return f.Push(t.Context(), "<xml><ToUserName>gh_3f1c9a7e52b0</ToUserName><FromUserName>"+w.OpenID+"_</FromUserName><CreateTime>1</CreateTime>"+
					"<MsgType>event</MsgType><Event>user_authorization_cancellation</Event><OpenID>"+w.OpenID+"</OpenID></xml>")
			},
			func() (*wechatsim.Exchange, error) {
				return f.Push(t.Context(), "<xml><ToUserName>gh_3f1c9a7e52b0</ToUserName><FromUserName>"+w.OpenID+"</FromUserName><CreateTime>2</CreateTime>"+
					"<MsgType>event</MsgType><Event>user_authorization_cancellation</Event></xml>")
			},
		} {
			if x, err := f.Send(t.Context(), "a question"); err != nil || !strings.Contains(x.Text, "the answer") {
				t.Fatalf("%v, %v", x, err)
			}
			if x, err := leave(); err != nil || x.Outcome != wechatsim.Silent {
				t.Fatalf("leaving: %v, %v, want an acknowledgement", x, err)
			}
			if x, err := f.Send(t.Context(), "1"); err != nil || !strings.Contains(x.Text, "no answer to show") {
				t.Errorf("after leaving, 1 gives %q, %v, want nothing", x.Text, err)
			}
			synctest.Wait()
			if n := w.dify.Requests("DELETE /conversations/{id}"); n != i+1 {
				t.Errorf("%d conversations deleted in Dify, want %d", n, i+1)
			}
		}
	})
}

// Nobody who reads the logs learns who wrote what, nor any secret.
func TestLogsKeepSecrets(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, loadManifest(t).options(wechatsim.Secure), difysim.Behaviour{
			Total: 2 * time.Second, Answer: "answer-text", Fault: difysim.Fault{Kind: difysim.ErrorEvent, Deltas: 0}, Repeat: 1,
		})
		p := w.platform(t, wechatsim.Secure)
		f := p.Follower(w.OpenID)
		for _, text := range []string{"first-text", "second-text", "1", "/stop", "/clear", "/retry", "/help"} {
			if _, err := f.Send(t.Context(), text); err != nil {
				t.Fatal(err)
			}
		}
		for _, event := range []func(context.Context) (*wechatsim.Exchange, error){f.Follow, f.Voice, f.Unfollow} {
			if _, err := event(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := f.Push(t.Context(), "<xml>broken-text"+w.OpenID); err != nil {
			t.Fatal(err)
		}
		for _, s := range refusedPushes(t, w.manifest, time.Now()) {
			must(t, w.inProcess(t), http.MethodPost, path+"?"+s.query, s.body)
		}
		synctest.Wait()
		log := w.log.String()
		if !strings.Contains(log, "Turn finished") || !strings.Contains(log, "cannot be used") || !strings.Contains(log, "clock") {
			t.Fatalf("the log lacks what it is to be read for: %s", log)
		}
		for _, secret := range []string{
			w.Token, w.EncodingAESKey, apiKey, w.OpenID, "first-text", "second-text", "answer-text", "broken-text", "let me in", "signature=", opening,
		} {
			if strings.Contains(log, secret) {
				t.Errorf("the log tells %q:\n%s", secret, log)
			}
		}
	})
}
