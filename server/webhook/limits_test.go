package webhook

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

func TestLimitsFitTheMemory(t *testing.T) {
	const connection, head = 20 << 10, 12 << 10 // of a connection, and of a request that is being read
	for _, memory := range []int64{32 << 20, 128 << 20, 512 << 20, 4 << 30, 1<<63 - 1} {
		l := LimitsFor(memory)
		most := int64(l.Connections)*connection + int64(l.Unauthenticated)*head + l.Bodies
		if most > memory/10*6 {
			t.Errorf("of %d MiB, clients may use %d", memory>>20, most>>20)
		}
		if l.Unauthenticated >= l.Connections || l.Unauthenticated < 32 || l.Bodies/unsignedShare <= maxBody {
			t.Errorf("of %d MiB, the limits are %+v", memory>>20, l)
		}
	}
}

// unfinished sends a request whose body does not end, until the test is over.
func unfinished(t *testing.T, at *pipes, query string, length, sent int) {
	t.Helper()
	c := at.dial(t)
	go func() {
		_, _ = fmt.Fprintf(c, "POST %s?%s HTTP/1.1\r\nHost: bot\r\nContent-Length: %d\r\n\r\n%s", path, query, length, strings.Repeat("x", sent))
		_, _ = io.Copy(io.Discard, c)
	}()
}

// A query that is not WeChat's costs no body.
func TestNothingIsReadForAStranger(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, loadManifest(t).options(wechatsim.Plain), difysim.Behaviour{})
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://bot.invalid"+path+"?signature=a&timestamp=1&nonce=n", unread{t})
		if err != nil {
			t.Fatal(err)
		}
		response, err := w.inProcess(t).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusForbidden {
			t.Errorf("%d, %v, want 403", response.StatusCode, err)
		}
	})
}

// unread is a body that must not be read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

// However many strangers send bodies, so many bytes of them are held at a time, and WeChat's pushes do not wait for them.
func TestStrangersBodiesHaveLittleRoom(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, loadManifest(t).options(wechatsim.Secure), difysim.Behaviour{})
		at := w.serve(t)
		const unproven = "encrypt_type=aes&msg_signature=0123&timestamp=%d&nonce=1"
		query := fmt.Sprintf(unproven, time.Now().Unix())
		for range 10 {
			unfinished(t, at, query, maxBody, 10)
		}
		synctest.Wait()
		if places := int(w.handler.limits.Bodies / unsignedShare / maxBody); places >= 10 || w.handler.bodies.unsigned.TryAcquire(maxBody+1) {
			t.Errorf("%d bodies have room, and there is more", places)
		}
		began := time.Now()
		sealedQuery, body := sealed(t, w.Token, w.EncodingAESKey, w.AppID, time.Now(), "/help")
		via := at.transport(t)
		if got := must(t, via, http.MethodPost, path+"?"+sealedQuery, body); got.status != http.StatusOK || time.Since(began) > 0 {
			t.Errorf("a push: %d after %v, want 200 at once", got.status, time.Since(began))
		}
		if _, err := do(t.Context(), t, via, http.MethodPost, path+"?"+query, "<xml>"); !errors.Is(err, io.EOF) || time.Since(began) != budgetTimeout {
			t.Errorf("one more stranger: %v after %v, want a connection that ends after %v", err, time.Since(began), budgetTimeout)
		}
		if n := w.count("wechatbot_pushes_total", "type", "unread", "outcome", "overloaded"); n == 0 {
			t.Error("it is not counted")
		}
		time.Sleep(bodyTimeout)
		if got := must(t, via, http.MethodPost, path+"?"+query, "<xml>"); got.status != http.StatusForbidden {
			t.Errorf("a stranger when the others are gone: %d, want 403", got.status)
		}
	})
}

// Whoever has seen one of WeChat's signatures can use it for some minutes. Its pushes still get through.
func TestSignedBodiesHaveRoomToo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, loadManifest(t).options(wechatsim.Plain), difysim.Behaviour{})
		at := w.serve(t)
		query := signed(w.Token, time.Now())
		for range 20 {
			unfinished(t, at, query, maxBody, 10)
		}
		synctest.Wait()
		p := w.platformOver(t, wechatsim.Plain, at.transport(t))
		x, err := p.Follower("").Send(t.Context(), "/help")
		if err != nil || x.Outcome != wechatsim.Replied {
			t.Errorf("a push: %v, %v", x, err)
		}
	})
}

func TestTooLargeIsKnownBeforeItIsRead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, loadManifest(t).options(wechatsim.Plain), difysim.Behaviour{})
		at := w.serve(t)
		for name, request := range map[string]string{
			"by its length": fmt.Sprintf("Content-Length: %d\r\n\r\n<xml>", maxBody+1),
			"by its bytes":  fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", maxBody+1, strings.Repeat("x", maxBody+1)),
		} {
			response, after := raw(t, at.dial(t), "POST "+path+"?"+signed(w.Token, time.Now())+" HTTP/1.1\r\nHost: bot\r\n"+request)
			if !strings.HasPrefix(response, "HTTP/1.1 413 ") || after > time.Second {
				t.Errorf("%s: %q after %v, want 413", name, response, after)
			}
		}
	})
}

// connect sends a part of a request and tells when the connection is closed.
func connect(t *testing.T, at *pipes, part string) <-chan struct{} {
	t.Helper()
	c := at.dial(t)
	closed := make(chan struct{})
	go func() {
		_, _ = io.WriteString(c, part)
		_, _ = io.Copy(io.Discard, c)
		close(closed)
	}()
	synctest.Wait()
	return closed
}

func isClosed(c <-chan struct{}) bool {
	synctest.Wait()
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// A stranger more than may be ends the oldest stranger, and no connection that has brought a push.
func TestTheOldestStrangerMakesPlace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, loadManifest(t).options(wechatsim.Plain), difysim.Behaviour{Total: 3 * time.Second})
		w.handler.unauthenticated.limit = 3
		at := w.serve(t)
		push := textPush("a question that is held", 1)
		held := connect(t, at, fmt.Sprintf("POST %s?%s HTTP/1.1\r\nHost: bot\r\nContent-Length: %d\r\n\r\n%s", path, signed(w.Token, time.Now()), len(push), push))
		coming := connect(t, at, fmt.Sprintf("POST %s?%s HTTP/1.1\r\nHost: bot\r\nContent-Length: %d\r\n\r\n%s", path, signed(w.Token, time.Now()), len(push), push[:20]))
		verified := connect(t, at, fmt.Sprintf("GET %s?echostr=1&%s HTTP/1.1\r\nHost: bot\r\n\r\n", path, signed(w.Token, time.Now())))
		var others []<-chan struct{}
		for _, part := range []string{"", "POST /wechat HTTP/1.1\r\nHost: b", "GET / HTTP/1.1\r\nHost: b\r\n\r\n", "GET /wechat HTTP/1.1\r\nHost: b\r\n\r\n", ""} {
			others = append(others, connect(t, at, part))
		}
		for i, c := range others {
			if isClosed(c) != (i < 2) {
				t.Errorf("stranger %d: closed is %t", i, isClosed(c))
			}
		}
		if isClosed(held) || isClosed(coming) || isClosed(verified) {
			t.Errorf("closed: held %t, coming %t, verified %t", isClosed(held), isClosed(coming), isClosed(verified))
		}
		if n := w.count("wechatbot_unauthenticated_connections_closed_total"); n != 2 {
			t.Errorf("%d were counted, want 2", n)
		}
		time.Sleep(time.Minute)
		w.handler.unauthenticated.mu.Lock()
		defer w.handler.unauthenticated.mu.Unlock()
		if n := w.handler.unauthenticated.conns.Len(); n != 0 {
			t.Errorf("%d strangers are left when all are gone", n)
		}
	})
}
