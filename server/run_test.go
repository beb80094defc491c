package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// breakable is a store that can stop to answer.
type breakable struct {
	session.Store

	broken atomic.Bool
}

func (b *breakable) Ping(ctx context.Context) error {
	if b.broken.Load() {
		return errors.New("no answer")
	}
	return b.Store.Ping(ctx)
}

// breakableBy makes the server's store break by the returned function.
func breakableBy() (change func(*Server), breakIt func()) {
	b := new(breakable)
	return func(s *Server) { b.Store, s.store = s.store, b }, func() { b.broken.Store(true) }
}

func TestAdminEndpoints(t *testing.T) {
	bubble(t, func(t *testing.T) {
		change, breakIt := breakableBy()
		r := newPlace(t, minimal).run(t, change)
		if _, err := r.platform(t).Follower("").Send(t.Context(), "a question"); err != nil {
			t.Fatal(err)
		}
		for path, want := range map[string]struct {
			status int
			body   string
		}{
			"/healthz": {200, "ok\n"}, "/readyz": {200, "ok\n"}, "/wechat": {404, "404 page not found\n"}, "/": {404, "404 page not found\n"},
		} {
			if status, body := r.get(t, path); status != want.status || body != want.body {
				t.Errorf("%s: %d %q, want %d %q", path, status, body, want.status, want.body)
			}
		}
		synctest.Wait() // a turn is counted after its answer has gone out
		_, metrics := r.get(t, "/metrics")
		for _, line := range []string{
			`wechatbot_turns_total{outcome="answered"} 1`, `wechatbot_pushes_total{outcome="answered",type="text"} 1`,
			"wechatbot_config_valid 1", "go_goroutines ", "process_resident_memory_bytes ",
		} {
			if !strings.Contains(metrics, "\n"+line) {
				t.Errorf("the metrics lack %s", line)
			}
		}
		// A store that is away later makes nothing unready: followers still get a line for each message.
		breakIt()
		if status, body := r.get(t, "/readyz"); status != 200 {
			t.Errorf("/readyz with a store that broke later: %d %q", status, body)
		}
		time.Sleep(2 * storeEvery)
		if _, metrics := r.get(t, "/metrics"); !strings.Contains(metrics, "\nwechatbot_session_store_up 0") {
			t.Error("the metrics do not say that the store is away")
		}
		r.reached.Store(false)
		if status, body := r.get(t, "/readyz"); status != 503 || body != "the session store does not answer\n" {
			t.Errorf("/readyz with a store that was never reached: %d %q", status, body)
		}
		if status, body := r.get(t, "/readyz?verbose"); status != 503 || !strings.HasPrefix(body, "the session store does not answer: ") {
			t.Errorf("/readyz?verbose with a broken store: %d %q", status, body)
		}
		if status, _ := r.get(t, "/healthz"); status != 200 {
			t.Errorf("/healthz with a broken store: %d, want 200: a restart would not help", status)
		}
	})
}

// The webhook's port shows nothing of the admin endpoints.
func TestWebhookServesNoMetrics(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newPlace(t, minimal).run(t)
		for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://bot.invalid"+path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			response, err := r.front.transport().RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusNotFound {
				t.Errorf("%s: %d, %v, want 404", path, response.StatusCode, err)
			}
		}
	})
}

// asked is a follower's question that is under way.
func (r *running) asked(t *testing.T, p *wechatsim.Platform, question string) chan *wechatsim.Exchange {
	t.Helper()
	done := make(chan *wechatsim.Exchange, 1)
	go func() {
		x, err := p.Follower("o"+question).Send(t.Context(), question)
		if err != nil {
			t.Error(err)
		}
		done <- x
	}()
	return done
}

func TestStopFinishesWhatWasPromised(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, minimal)
		p.dify.SetBehaviour(difysim.Behaviour{Total: 8 * time.Second})
		r := p.run(t)
		platform := r.platform(t)
		before := r.asked(t, platform, "before")
		if err := p.dify.WaitRunning(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		r.stop()
		synctest.Wait()
		if status, body := r.get(t, "/readyz"); status != 503 || body != "stopping\n" {
			t.Errorf("/readyz while stopping: %d %q, want 503", status, body)
		}
		if status, _ := r.get(t, "/healthz"); status != 200 {
			t.Errorf("/healthz while stopping: %d, want 200", status)
		}
		during := r.asked(t, platform, "during")
		for question, done := range map[string]chan *wechatsim.Exchange{"before": before, "during": during} {
			if x := <-done; x.Outcome != wechatsim.Replied || !strings.Contains(x.Text, question) {
				t.Errorf("%s: %s with %q, want the answer", question, x.Outcome, x.Text)
			}
		}
		if err := <-r.ended; err != nil {
			t.Errorf("the server ended with %v, want nil", err)
		}
		if stats := platform.Stats(); stats.Toasts != 0 {
			t.Errorf("%d followers saw a fault", stats.Toasts)
		}
	})
}

// An answer that nobody has taken yet keeps the process for as long as a delivery can come for it.
func TestStopWaitsForAnAnswerToBeFetched(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, minimal+"reply: {holdsPerMinute: 0, language: en}\n")
		p.dify.SetBehaviour(difysim.Behaviour{Total: 6 * time.Second, FirstText: 6 * time.Second, Answer: "the answer"})
		r := p.run(t)
		platform := r.platform(t)
		if x := <-r.asked(t, platform, "question"); !strings.Contains(x.Text, "Thinking") {
			t.Fatalf("got %q, want the waiting line", x.Text)
		}
		r.stop()
		time.Sleep(10 * time.Second)
		select {
		case err := <-r.ended:
			t.Fatalf("the server has gone with an answer that nobody has seen: %v", err)
		default:
		}
		began := time.Now()
		x, err := platform.Follower("oquestion").Send(t.Context(), "1")
		if err != nil || !strings.Contains(x.Text, "the answer") {
			t.Errorf("1 gives %q, %v, want the answer", x.Text, err)
		}
		if err := <-r.ended; err != nil || time.Since(began) > time.Second {
			t.Errorf("the server ended with %v after %v, want nil at once", err, time.Since(began))
		}
	})
}

// Without anybody who keeps the pushes away, a crowd could keep a process for ever: it ends, and says what it leaves.
func TestStopThatTakesTooLongIsTold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, minimal+"dify: {timeout: 1s}\n")
		p.dify.SetBehaviour(difysim.Behaviour{Total: 900 * time.Millisecond})
		r := p.run(t)
		platform := r.platform(t)
		ctx, leave := context.WithCancel(t.Context())
		var crowd sync.WaitGroup
		crowd.Go(func() {
			for ctx.Err() == nil {
				crowd.Go(func() {
					_, _ = platform.Follower("").Send(ctx, "question") // at the end there is nobody to answer
				})
				time.Sleep(500 * time.Millisecond)
			}
		})
		time.Sleep(5 * time.Second)
		r.stop()
		began := time.Now()
		err := <-r.ended
		if after := time.Since(began); after != time.Second+drainMargin {
			t.Errorf("stopping took %v, want %v", after, time.Second+drainMargin)
		}
		if err == nil || !strings.Contains(err.Error(), "stopping: ") || !strings.Contains(err.Error(), "turns still run or wait") {
			t.Errorf("the error is %v, want what is left", err)
		}
		leave()
		crowd.Wait()
	})
}

// alone is a store that outlives its process and that one process has at a time. It is told when that is about to stop.
type alone struct {
	session.Store
	steppedDown *atomic.Bool
}

func (alone) Durable() bool { return true }

func (alone) Identity() string { return "this" }

func (alone) Elsewhere() (identity, address string) { return "", "" }

func (a alone) StepDown() { a.steppedDown.Store(true) }

func (alone) Superseded() <-chan struct{} { return nil }

// superseded is a store whose sessions another process takes.
type superseded struct {
	alone
	by chan struct{}
}

func (s superseded) Superseded() <-chan struct{} { return s.by }

// A process that has lost the sessions to another one would never have them again: it ends, to be started anew.
func TestSuperseded_ServerEnds(t *testing.T) {
	p := newPlace(t, minimal)
	defer p.dify.Close()
	s := p.server(t)
	taken := make(chan struct{})
	s.store = superseded{alone{s.store, new(atomic.Bool)}, taken}
	ended := make(chan error)
	go func() { ended <- s.Run(t.Context()) }()
	close(taken)
	if err := <-ended; !errors.Is(err, errSuperseded) {
		t.Errorf("Run: %v, want %v", err, errSuperseded)
	}
}

// With sessions in ConfigMaps nobody takes pushes until this process has ended: it does not stay for a long turn, but
// leaves it where the next process finds it.
func TestStopHandsALongTurnOver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, minimal)
		p.dify.SetBehaviour(difysim.Behaviour{Total: 2 * time.Minute})
		var steppedDown atomic.Bool
		r := p.run(t, func(s *Server) {
			s.store = alone{s.store, &steppedDown}
			s.engine.Store = s.store
		})
		done := r.asked(t, r.platform(t), "question")
		if err := p.dify.WaitRunning(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		r.stop()
		if err := <-r.ended; err != nil {
			t.Errorf("the server ended with %v, want nil", err)
		}
		if after := time.Since(began); after < unnoticed+handOver || after > unnoticed+handOver+time.Second {
			t.Errorf("stopping took %v, want %v", after, unnoticed+handOver)
		}
		next, err := r.store.Next(t.Context(), session.Limits{Questions: 20, Window: time.Minute, Concurrency: 1})
		if err != nil || next.Lease == nil || next.Lease.Turn.Question != "question" || next.Lease.Turn.Attempts != 2 {
			t.Errorf("the next process gets %+v, %v, want the turn at once", next, err)
		}
		if time.Since(began) > unnoticed+handOver+time.Second {
			t.Errorf("after %v, want at once", time.Since(began))
		}
		<-done
		if !steppedDown.Load() {
			t.Error("the store was not told")
		}
		if p.lines("handing over") != 1 {
			t.Errorf("the log says %s", p.log)
		}
	})
}

// Where one process has the sessions at a time, a stopping one goes on as ever until proxies have noticed; what comes then
// is recorded for the next one, and the sessions are given up as soon as no turn runs.
func TestStopBeginsWhatNobodyElseCan(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, minimal)
		p.dify.SetBehaviour(difysim.Behaviour{Total: 3 * time.Second})
		r := p.run(t, func(s *Server) {
			s.store = alone{s.store, new(atomic.Bool)}
			s.engine.Store = s.store
		})
		synctest.Wait()
		began := time.Now()
		r.stop()
		time.Sleep(2 * time.Second)
		soon := r.asked(t, r.platform(t), "soon")
		time.Sleep(2 * time.Second)
		late := r.asked(t, r.platform(t), "late")
		if x := <-soon; x.Outcome != wechatsim.Replied || x.Took != 3*time.Second {
			t.Errorf("%+v", x)
		}
		next, err := r.store.Next(t.Context(), session.Limits{Questions: 20, Window: time.Minute, Concurrency: 1})
		if err != nil || next.Lease == nil || next.Lease.Turn.Question != "late" || next.Lease.Turn.Attempts != 1 {
			t.Fatalf("the next process gets %+v, %v", next, err)
		}
		o := session.Outcome{State: session.Answered, Answer: session.Answer{Markdown: "the next one's"}}
		if err := r.store.Finish(t.Context(), next.Lease, o); err != nil {
			t.Fatal(err)
		}
		if x := <-late; !strings.HasPrefix(x.Text, "the next one's") {
			t.Errorf("%+v", x)
		}
		if err := <-r.ended; err != nil || time.Since(began) > unnoticed+handOver {
			t.Errorf("ended with %v after %v", err, time.Since(began))
		}
		if n := p.dify.CallCount(); n != 1 {
			t.Errorf("Dify was asked %d times", n)
		}
	})
}

// elsewhere is a store that another process has.
type elsewhere struct {
	alone
	address string
}

func (elsewhere) Identity() string { return "another" }

func (e elsewhere) Elsewhere() (identity, address string) { return "this", e.address }

// A server without the sessions is as good as the one that has them, over the network too.
// runs has a server of the place serve until the test ends.
func (p *place) runs(t *testing.T, s *Server) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		p.dify.Close()
	})
}

func TestPushesAreForwardedToWhoHasTheSessions(t *testing.T) {
	serve := func(change func(*Server)) *Server {
		p := newPlace(t, minimal)
		s := p.server(t)
		change(s)
		s.join()
		p.runs(t, s)
		return s
	}
	owner := serve(func(s *Server) { s.store = alone{s.store, new(atomic.Bool)} })
	standby := serve(func(s *Server) {
		s.store = elsewhere{alone{s.store, new(atomic.Bool)}, owner.Addr().String()}
	})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+standby.Addr().String()+"/wechat?"+signed(token), strings.NewReader(plainPush("/help")))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil || !strings.Contains(string(body), "/clear") || response.Header.Get("Content-Type") != "text/xml; charset=utf-8" {
		t.Errorf("%d %v %q, %v, want the help", response.StatusCode, response.Header, body, err)
	}
	for name, s := range map[string]*Server{"forwarded": standby, "answered": owner} {
		want := fmt.Sprintf(`
			# HELP wechatbot_pushes_total Deliveries of pushes, by type (unread if it was not opened) and by what became of them.
			# TYPE wechatbot_pushes_total counter
			wechatbot_pushes_total{outcome=%q,type="text"} 1
		`, name)
		counted := func() error {
			return testutil.GatherAndCompare(s.registry, strings.NewReader(want), "wechatbot_pushes_total")
		}
		patience, look := time.After(10*time.Second), time.NewTicker(10*time.Millisecond)
		for err := counted(); err != nil; err = counted() { // a delivery is counted when its reply is out
			select {
			case <-look.C:
			case <-patience:
				t.Fatal(err)
			}
		}
		look.Stop()
	}
}

// shared is a store that other replicas work on.
type shared struct{ session.Store }

func (shared) Durable() bool { return true }

// A replica that is to stop is sent pushes until its proxies have noticed: they are answered.
func TestStopOfAReplicaIsNotNoticedAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newPlace(t, minimal).run(t, func(s *Server) {
			s.store = shared{s.store}
			s.engine.Store = s.store
		})
		synctest.Wait()
		began := time.Now()
		r.stop()
		time.Sleep(unnoticed - time.Millisecond)
		x, err := r.platform(t).Follower("").Send(t.Context(), "/help")
		if err != nil || x.Outcome != wechatsim.Replied || len(x.Deliveries) != 1 {
			t.Errorf("a push meanwhile: %+v, %v", x, err)
		}
		if err := <-r.ended; err != nil || time.Since(began) > unnoticed+time.Second {
			t.Errorf("ended with %v after %v, want nil after %v", err, time.Since(began), unnoticed)
		}
	})
}

// A stop before anything happened is immediate.
func TestStopOfAnIdleServer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newPlace(t, minimal).run(t)
		synctest.Wait()
		began := time.Now()
		r.stop()
		if err := <-r.ended; err != nil || time.Since(began) > time.Second {
			t.Errorf("ended with %v after %v, want nil at once", err, time.Since(began))
		}
	})
}

// Aliases name followers in logs: the same from replica to replica, of no use without the token, others after it was
// rotated, and short.
func TestAliasTellsNobody(t *testing.T) {
	with := func(token serverconfig.Secret) func(string) string {
		s := new(Server)
		s.secrets.Store(&serverconfig.Secrets{Token: token})
		return s.alias
	}
	a, b := with(token)("oFollower"), with(newToken)("oFollower")
	if a != with(token)("oFollower") || a == b || a == with(token)("oAnother") || len(a) != 10 || strings.Contains(a, "oFollower") {
		t.Errorf("aliases %q and %q", a, b)
	}
}
