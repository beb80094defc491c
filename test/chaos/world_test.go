//go:build chaos

package chaos

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/server/wechat/api"
	"github.com/wechatbot/wechatbot-operator/test/crowd"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

const (
	token      = "chaosToken"
	aesKey     = "chaosEncodingAESKey0123456789abcdefghijklmn"
	appID      = "wx000000000000chaos"
	appSecret  = "chaosAppSecret0123456789abcdef00"
	difyKey    = "app-chaosDifyKey"
	difyAnswer = 5 * time.Minute        // dify.timeout, as by default
	apiTakes   = 150 * time.Millisecond // a call of WeChat's API
)

// world is one bot and everything around it.
type world struct {
	name     string
	seed     uint64
	mode     difysim.Mode
	logs     string
	crowd    *crowd.Crowd
	dify     *difysim.Server
	difyURL  string
	replicas []*replica
	proxies  []*proxy // one before the store of each replica
	front    *front
	platform *wechatsim.Platform
	opened   chan struct{} // closed when there is a platform
	store    store
	official string // where WeChat's API is of a bot that pushes late answers, else empty

	mu         sync.Mutex
	acts       map[act]int
	outages    []window    // of the store, for all replicas
	storeKills []time.Time // when the store was killed, not only stopped
	cuts       []cut       // of one replica from the store
	broken     []error     // the harness itself
}

// store is what a schedule can do to the session store.
type store struct {
	kill, start, hang, wake func() error
}

// cut is the time in which a replica could not reach the store.
type cut struct {
	window
	replica int
}

// newWorld makes Dify, with an app of a mode: a chatflow's run outlives the server that asked for it, a chat's does not.
func newWorld(t testing.TB, name string, seed uint64, mode difysim.Mode) *world {
	t.Helper()
	w := &world{name: name, seed: seed, mode: mode, acts: map[act]int{}, opened: make(chan struct{})}
	var err error
	if w.logs, err = os.MkdirTemp("", "chaos-"); err != nil { //nolint:usetesting // it stays if the test fails
		t.Fatal(err)
	}
	t.Cleanup(func() { w.attach(t) })
	w.dify = difysim.New(difysim.Options{Key: difyKey, Mode: mode})
	w.dify.Script(new(crowd.Dify).Behave)
	app := httptest.NewServer(w.dify)
	w.difyURL = app.URL
	t.Cleanup(func() { w.dify.Close(); app.Close() })
	return w
}

// pushes gives the bot an account that may write to its followers.
func (w *world) pushes(t *testing.T) {
	t.Helper()
	official := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		select {
		case <-w.opened:
			w.platform.API().ServeHTTP(rw, r)
		case <-r.Context().Done():
		}
	}))
	w.official = official.URL
	t.Cleanup(official.Close)
}

// configure writes the configuration of one replica and gives its path. Dify sees the replica's number as an input.
func (w *world) configure(t testing.TB, replica int, session string, secrets map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{"token": token, "dify-api-key": difyKey, "encoding-aes-key": aesKey}
	maps.Copy(files, secrets)
	mode := serverconfig.ReplyModePassive
	if w.official != "" {
		mode, files["app-secret"] = serverconfig.ReplyModeCustomerService, appSecret
	}
	for name, content := range files {
		writeFile(t, filepath.Join(dir, "secrets", name), content)
	}
	path := filepath.Join(dir, "bot.yaml")
	writeFile(t, path, fmt.Sprintf(`bot: test/chaos
listen: 127.0.0.1:0
adminListen: 127.0.0.1:0
secretsDir: ./secrets
wechat: {appID: %s, apiBaseURL: "%s"}
dify: {baseURL: "%s", timeout: %s, inputs: {replica: "%d"}}
limits: {questions: 10000, concurrency: 200}
session: %s
reply:
  mode: %s
  aiLabel: "[[aiLabel]]"
  texts:
%s`, appID, cmp.Or(w.official, api.DefaultBaseURL), w.difyURL, difyAnswer, replica, session, mode, ownTexts()))
	return path
}

// ownTexts are the lines of configuration that make the bot's texts recognizable.
func ownTexts() string {
	var b strings.Builder
	for key, text := range crowd.Texts() {
		fmt.Fprintf(&b, "    %s: %q\n", key, text)
	}
	return b.String()
}

func writeFile(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// open puts the front before the replicas and followers before the front.
func (w *world) open(t *testing.T, followers int) {
	t.Helper()
	w.front = startFront(t, w.replicas)
	w.front.waitReady(t)
	var err error
	w.platform, err = wechatsim.New(wechatsim.Account{
		URL: w.front.url(), Token: token, EncodingAESKey: aesKey, AppID: appID, AppSecret: appSecret, Mode: wechatsim.Secure,
	}, wechatsim.Options{Latency: apiTakes})
	if err != nil {
		t.Fatal(err)
	}
	close(w.opened)
	if err := w.platform.VerifyURL(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.crowd = crowd.New(w.platform, followers, w.seed, newPlan)
	w.crowd.Pushed = w.official != ""
}

// run lets the followers chat while the schedule is done, and for a while after its last act.
func (w *world) run(t *testing.T, faults []fault, calm time.Duration) {
	t.Helper()
	t.Logf("CHAOS_SEED=%d\n%s", w.seed, describe(faults))
	begin := time.Now()
	last := faults[len(faults)-1]
	until := begin.Add(last.at + last.lasts + calm)
	ctx := t.Context()
	asking, end := context.WithDeadline(ctx, until)
	defer end()
	var all, healers sync.WaitGroup
	all.Go(func() { w.crowd.Chat(ctx, asking) })
	for _, f := range faults {
		timer := time.NewTimer(time.Until(begin.Add(f.at)))
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		healers.Go(func() { w.do(ctx, f) })
	}
	healers.Wait()
	all.Wait()
	for _, r := range w.replicas {
		r.stop(t)
	}
	for _, err := range w.broken {
		t.Errorf("the harness: %v", err)
	}
}

// do does one act and heals it.
func (w *world) do(ctx context.Context, f fault) {
	w.mu.Lock()
	w.acts[f.act]++
	w.mu.Unlock()
	from := time.Now()
	var err error
	switch f.act {
	case kill:
		err = w.replicas[f.replica].kill()
	case roll:
		err = w.replicas[f.replica].roll()
	case killStore:
		err = w.outage(ctx, f, w.store.kill, w.store.start)
	case hangStore:
		err = w.outage(ctx, f, w.store.hang, w.store.wake)
	case loseAnswers, loseSends, blurAnswers:
		o := wechatsim.Order{API: wechatsim.SendPath, Lose: true, Applied: f.act == loseAnswers}
		if f.act == blurAnswers {
			o = wechatsim.Order{API: wechatsim.SendPath, Status: http.StatusInternalServerError, Applied: true}
		}
		id := w.platform.Order(o)
		pause(ctx, f.lasts)
		w.platform.CancelOrder(id)
	case hangUp:
		w.proxies[f.replica].reset() // excuses nothing
	case cutOff, blackHole:
		p := w.proxies[f.replica]
		if f.act == cutOff {
			p.cut()
		} else {
			p.stall()
		}
		pause(ctx, f.lasts)
		p.heal()
		w.cutFor(f.replica, from)
	}
	if err != nil {
		w.mu.Lock()
		w.broken = append(w.broken, fmt.Errorf("%s: %w", f, err))
		w.mu.Unlock()
	}
}

// outage takes the store away for a while.
func (w *world) outage(ctx context.Context, f fault, away, back func() error) error {
	from := time.Now()
	if err := away(); err != nil {
		return err
	}
	pause(ctx, f.lasts)
	err := back()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.outages = append(w.outages, window{from, time.Now()})
	if f.act == killStore {
		w.storeKills = append(w.storeKills, from)
	}
	return err
}

func (w *world) cutFor(replica int, from time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cuts = append(w.cuts, cut{window{from, time.Now()}, replica})
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// attach shows the ends of the processes' logs if the test has failed. They hold no texts: the judge looks.
func (w *world) attach(t testing.TB) {
	t.Helper()
	if !t.Failed() {
		_ = os.RemoveAll(w.logs)
		return
	}
	t.Logf("the whole logs: %s", w.logs)
	files, _ := filepath.Glob(filepath.Join(w.logs, "*.log"))
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Log(err)
			continue
		}
		t.Logf("the end of %s:\n%s", filepath.Base(file), content[max(0, len(content)-6000):])
	}
}
