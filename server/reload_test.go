package server

import (
	"context"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

// look makes the server look at its files at a time after its start.
func (p *place) look(t *testing.T, s *Server, after time.Duration) {
	t.Helper()
	if refused := s.look(time.Now().Add(after), ""); refused != "" {
		t.Errorf("refused: %s", refused)
	}
}

func (p *place) lines(word string) int { return strings.Count(p.log.String(), word) }

func TestChangedTextsTakeEffect(t *testing.T) {
	p := newPlace(t, minimal)
	s := p.server(t)
	p.write(t, "bot.yaml", minimal+"reply: {texts: {help: \"new words {{1}}\"}}\nwechat: {verificationFiles: {MP_verify_0123456789abcdef.txt: content}}\n")
	if _, body := askHelp(t, s, token); strings.Contains(body, "new words") {
		t.Fatalf("the new words are said before they are known: %s", body)
	}
	p.look(t, s, 0)
	if _, body := askHelp(t, s, token); !strings.Contains(body, "new words <a href=") {
		t.Errorf("got %s, want the new words", body)
	}
	if p.lines("Applied a changed configuration") != 1 || p.lines("reply.texts, ") != 0 || p.lines("wechat.verificationFiles, reply.texts") != 1 {
		t.Errorf("the log says %s, want the changed fields once", p.log)
	}
	p.look(t, s, 0)
	if p.lines("Applied") != 1 {
		t.Errorf("unchanged files were applied again: %s", p.log)
	}
	if n := testutil.ToFloat64(s.metrics.reloads.WithLabelValues("applied")); n != 1 {
		t.Errorf("%v reloads counted, want 1", n)
	}
}

// A server looks every few seconds for as long as it runs, and nearly always nothing has changed.
func TestLook_UnchangedFilesAreNotParsed(t *testing.T) {
	p := newPlace(t, minimal)
	s := p.server(t)
	parsing := testing.AllocsPerRun(10, func() {
		if _, err := serverconfig.Parse([]byte(minimal)); err != nil {
			t.Error(err)
		}
	})
	for _, change := range []string{"", "# a comment\n"} {
		p.write(t, "bot.yaml", minimal+change)
		p.look(t, s, 0)
		if looking := testing.AllocsPerRun(10, func() { p.look(t, s, 0) }); looking >= parsing {
			t.Errorf("%q: looking again allocates %v times, parsing alone %v times", change, looking, parsing)
		}
		if got := *s.hash.Load(); got != serverconfig.Hash([]byte(minimal+change)) {
			t.Errorf("%q: the status names %s", change, got)
		}
	}
}

func TestReplacedTokenIsAcceptedForAWhile(t *testing.T) {
	p := newPlace(t, minimal)
	s := p.server(t)
	p.write(t, "secrets/token", newToken)
	for _, c := range []struct {
		after     time.Duration
		old, next int
	}{
		{0, 200, 200},
		{rotationGrace - time.Second, 200, 200},
		{rotationGrace, 403, 200},
		{rotationGrace + time.Hour, 403, 200},
	} {
		p.look(t, s, c.after)
		if got, _ := askHelp(t, s, token); got != c.old {
			t.Errorf("after %v the old token gets %d, want %d", c.after, got, c.old)
		}
		if got, _ := askHelp(t, s, newToken); got != c.next {
			t.Errorf("after %v the new token gets %d, want %d", c.after, got, c.next)
		}
	}
	if p.lines("Applied") != 1 || p.lines(token) != 0 || p.lines(newToken) != 0 {
		t.Errorf("the log says %s, want one change and no token", p.log)
	}
	p.write(t, "secrets/token", token) // back again: both are good
	p.look(t, s, 2*rotationGrace)
	p.look(t, s, 2*rotationGrace)
	for _, secret := range []string{token, newToken} {
		if got, _ := askHelp(t, s, secret); got != 200 {
			t.Errorf("a token of a rotation back gets %d, want 200", got)
		}
	}
}

func TestReplacedAESKeyIsAcceptedForAWhile(t *testing.T) {
	p := newPlace(t, minimal+"wechat: {appID: "+appID+"}\n")
	p.write(t, "secrets/encoding-aes-key", aesKey)
	s := p.server(t)
	p.write(t, "secrets/encoding-aes-key", newKey)
	p.look(t, s, 0)
	for _, key := range []string{aesKey, newKey} {
		if status, opens := sealedPush(t, s, token, key, "/help"); status != 200 || !opens {
			t.Errorf("within the grace: %d, opens %v, want a reply under the push's own key", status, opens)
		}
	}
	p.look(t, s, rotationGrace)
	if status, _ := sealedPush(t, s, token, aesKey, "/help"); status != 403 {
		t.Errorf("the old key gets %d after its grace, want 403", status)
	}
	if status, _ := askHelp(t, s, token); status != 403 {
		t.Errorf("a plain push gets %d, want 403", status)
	}
	p.remove(t, "secrets/encoding-aes-key") // back to plain mode
	p.look(t, s, rotationGrace)
	if status, _ := askHelp(t, s, token); status != 200 {
		t.Errorf("a plain push gets %d without a key, want 200", status)
	}
}

func TestRefusedChange_LoggedOnceOldStays(t *testing.T) {
	p := newPlace(t, minimal+"reply: {texts: {help: old words}}\n")
	s := p.server(t)
	p.write(t, "bot.yaml", minimal+"reply: {texts: {hepl: new words}}\n")
	p.write(t, "secrets/token", newToken)
	refused := ""
	for range 3 {
		refused = s.look(time.Now(), refused)
	}
	if !strings.Contains(refused, "reply.texts.hepl: unknown text") || p.lines("Refused a changed configuration") != 1 {
		t.Errorf("refused %q, and the log says %s, want it once", refused, p.log)
	}
	if status, body := askHelp(t, s, token); status != 200 || !strings.Contains(body, "old words") {
		t.Errorf("%d %s, want the old words", status, body)
	}
	if status, _ := askHelp(t, s, newToken); status != 403 {
		t.Errorf("the new token is accepted though the change was refused: %d", status)
	}
	if testutil.ToFloat64(s.metrics.configValid) != 0 || testutil.ToFloat64(s.metrics.reloads.WithLabelValues("refused")) != 1 {
		t.Error("the metrics do not show one refused change")
	}

	p.write(t, "bot.yaml", minimal+"dify: {baseURL: http://dify/v1/info}\n") // valid for the file, not for the client
	if refused = s.look(time.Now(), refused); !strings.Contains(refused, "dify.baseURL") || p.lines("Refused a changed configuration") != 2 {
		t.Errorf("refused %q, and the log says %s, want another one", refused, p.log)
	}
	if status, _ := askHelp(t, s, newToken); status != 403 {
		t.Errorf("half of a change was applied: %d", status)
	}

	p.write(t, "bot.yaml", minimal+"reply: {texts: {help: new words}}\n")
	refused = s.look(time.Now(), refused)
	if _, body := askHelp(t, s, newToken); refused != "" || !strings.Contains(body, "new words") {
		t.Errorf("refused %q, %s, want the new words", refused, body)
	}
	if testutil.ToFloat64(s.metrics.configValid) != 1 {
		t.Error("the metrics show a refused change still")
	}
}

func TestRefusedChangeThatIsTakenBackIsToldOnce(t *testing.T) {
	p := newPlace(t, minimal)
	s := p.server(t)
	const valid = "The configuration is valid again and in force"
	refused := s.look(time.Now(), "")
	p.write(t, "bot.yaml", "reply: 1\n")
	if refused = s.look(time.Now(), refused); refused == "" || p.lines(valid) != 0 {
		t.Errorf("refused %q, and the log says %s", refused, p.log)
	}
	p.write(t, "bot.yaml", minimal)
	for range 3 {
		refused = s.look(time.Now(), refused)
	}
	if refused != "" || p.lines(valid) != 1 || p.lines("Applied") != 0 {
		t.Errorf("refused %q, and the log says %s, want once that all is well", refused, p.log)
	}
	if testutil.ToFloat64(s.metrics.configValid) != 1 {
		t.Error("the metrics show a refused change still")
	}
}

func TestChangesThatNeedARestartAreTold(t *testing.T) {
	p := newPlace(t, minimal)
	s := p.server(t)
	listened := s.Addr().String()
	p.write(t, "bot.yaml", strings.NewReplacer("listen: 127.0.0.1:0\nadmin", "listen: 127.0.0.1:1\nadmin", "secretsDir: secrets", "secretsDir: elsewhere").Replace(minimal)+
		"session: {history: 5}\nlimits: {questions: 7}\n")
	p.look(t, s, 0)
	if p.lines("Changed fields wait for the next start") != 1 || p.lines(`"listen, secretsDir, session.history"`) != 1 {
		t.Errorf("the log says %s, want the fields that wait", p.log)
	}
	if s.Addr().String() != listened {
		t.Error("the server listens elsewhere")
	}
	if status, _ := askHelp(t, s, token); status != 200 {
		t.Errorf("a push gets %d, want 200", status)
	}
}

func TestChangedDifyIsAskedFromThenOn(t *testing.T) {
	p := newPlace(t, minimal)
	s := p.server(t)
	var asked string
	s.dify.askBy(t, roundTrip(func(r *http.Request) (*http.Response, error) {
		asked = r.URL.Host + " " + r.Header.Get("Authorization")
		return nil, io.EOF
	}), s.files)
	want := func(asks string) {
		t.Helper()
		if _, err := s.dify.Parameters(t.Context()); err == nil || asked != asks {
			t.Errorf("asks %q, want %q", asked, asks)
		}
	}
	p.write(t, "secrets/dify-api-key", "app-another\n")
	p.look(t, s, 0)
	want("api.dify.ai Bearer app-another")
	p.write(t, "bot.yaml", minimal+"dify: {baseURL: http://another.invalid/v1}\n")
	p.look(t, s, 0)
	want("another.invalid Bearer app-another")
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Address and key change together: no request has one of the old and one of the new. The askers wait for each request to be
// looked at, so that all of them ask anew while the next change is made, and none of them runs for nothing.
func TestNoKeyGoesToAnotherDify(t *testing.T) {
	const askers, changes = 8, 5000
	of := func(name string) files {
		c := serverconfig.Default()
		c.Dify.BaseURL = "http://" + name + ".invalid"
		return files{config: c, secrets: serverconfig.Secrets{DifyAPIKey: serverconfig.Secret(name)}}
	}
	type request struct{ host, key string }
	requests := make(chan request)
	d := new(difySwitch)
	d.askBy(t, roundTrip(func(r *http.Request) (*http.Response, error) {
		select {
		case requests <- request{strings.TrimSuffix(r.URL.Host, ".invalid"), strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")}:
		case <-r.Context().Done():
		}
		return nil, io.EOF
	}), of("a"))
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	for range askers {
		all.Go(func() {
			for ctx.Err() == nil {
				_, _ = d.Parameters(ctx)
			}
		})
	}
	for i := range changes {
		for range askers {
			if r := <-requests; r.host != r.key {
				t.Fatalf("after %d changes Dify %q is asked with the key of %q", i, r.host, r.key)
			}
		}
		if err := d.configure(of([]string{"a", "b", "c"}[i%3])); err != nil {
			t.Fatal(err)
		}
	}
}

func TestChangedInputsAndLimitsTakeEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newPlace(t, minimal).run(t)
		f := r.platform(t).Follower("")
		if _, err := f.Send(t.Context(), "before"); err != nil {
			t.Fatal(err)
		}
		r.write(t, "bot.yaml", minimal+"dify: {inputs: {language: Latin}}\nlimits: {questions: 2}\n")
		time.Sleep(6 * time.Second) // of the bubble's: the server looks every 5 s
		for range 2 {
			if _, err := f.Send(t.Context(), "after"); err != nil {
				t.Fatal(err)
			}
		}
		var inputs []any
		for _, c := range r.dify().Calls() {
			inputs = append(inputs, c.Inputs["language"])
		}
		if len(inputs) != 2 || inputs[0] != nil || inputs[1] != "Latin" {
			t.Errorf("Dify was asked with %v, want the new input with the second question and no third", inputs)
		}
	})
}

// dify is the stand-in beside the embedded client of the same name.
func (r *running) dify() *difysim.Server { return r.place.dify }

func TestOldSecretsAreForgotten(t *testing.T) {
	now := time.Now()
	secret := func(s string) serverconfig.Secret { return serverconfig.Secret(s) }
	olds := replaced(nil, secret("a"), secret("b"), now)
	olds = replaced(olds, secret("b"), secret("c"), now.Add(time.Minute))
	if len(olds) != 2 {
		t.Fatalf("%d old secrets, want 2", len(olds))
	}
	if olds = replaced(olds, secret("c"), secret("c"), now.Add(rotationGrace)); len(olds) != 1 || olds[0].secret != "b" {
		t.Errorf("%d old secrets, want b alone", len(olds))
	}
	if olds = replaced(olds, secret("c"), secret("b"), now.Add(rotationGrace)); len(olds) != 1 || olds[0].secret != "c" {
		t.Errorf("%d old secrets, want c alone: b is in force again", len(olds))
	}
	if olds := replaced(nil, secret(""), secret("a"), now); len(olds) != 0 {
		t.Errorf("%d old secrets where there was none", len(olds))
	}
}

// Every kind of call reaches the app that is configured.
func TestEveryCallOfDifyIsMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newPlace(t, minimal).run(t)
		f := r.platform(t).Follower("")
		if _, err := f.Follow(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Send(t.Context(), "a question"); err != nil {
			t.Fatal(err)
		}
		r.dify().SetBehaviour(difysim.Behaviour{Total: time.Minute})
		stopped := make(chan string, 1)
		go func() {
			x, err := f.Send(t.Context(), "a long one")
			if err != nil {
				t.Error(err)
			}
			stopped <- x.Text
		}()
		if err := r.dify().WaitRunning(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		for _, text := range []string{"/stop", "/clear"} {
			if _, err := f.Send(t.Context(), text); err != nil {
				t.Fatal(err)
			}
		}
		if text := <-stopped; !strings.Contains(text, "已停止") {
			t.Errorf("the stopped question got %q", text)
		}
		synctest.Wait()
		for route, want := range map[string]int{
			"GET /parameters": 1, "POST /chat-messages": 2, "POST /chat-messages/{task_id}/stop": 1, "DELETE /conversations/{id}": 1,
		} {
			if n := r.dify().Requests(route); n != want {
				t.Errorf("%s was asked %d times, want %d", route, n, want)
			}
		}
	})
}

// An operator may be newer than the server that it configures: what this version does not know is told once, counted, and
// of no effect. A person's typo is still refused.
func TestFieldsOfANewerOperatorAreLeftOut(t *testing.T) {
	p := newPlace(t, minimal+"new: {a: 1}\nreply: {texts: {help: old words, newText: x}}\n")
	if _, err := New(p.options()); err == nil || !strings.Contains(err.Error(), "new: unknown field") {
		t.Fatalf("a person's file gives %v", err)
	}
	o := p.options()
	o.ConfigByOperator = true
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = s.webhook.Close(), s.admin.Close() })
	if _, body := askHelp(t, s, token); !strings.Contains(body, "old words") {
		t.Errorf("what is known is of no effect: %s", body)
	}
	p.look(t, s, 0)
	p.look(t, s, 0)
	if n := p.lines("does not know"); n != 1 || p.lines("new, reply.texts.newText") != 1 {
		t.Errorf("told %d times: %s", n, p.log)
	}
	if n := testutil.ToFloat64(s.metrics.unknownFields); n != 2 {
		t.Errorf("%v unknown fields are counted", n)
	}
	p.write(t, "bot.yaml", minimal+"newer: 1\nreply: {texts: {help: new words}}\n")
	p.look(t, s, 0)
	if _, body := askHelp(t, s, token); !strings.Contains(body, "new words") || testutil.ToFloat64(s.metrics.unknownFields) != 1 {
		t.Errorf("a change beside an unknown field is not taken: %s", body)
	}
}

// A private authority is trusted beside the system's, also one that comes, or is replaced, while the server runs.
func TestDifyOfAPrivateAuthority(t *testing.T) {
	sim := difysim.New(difysim.Options{Key: difyKey, AppName: "Winter"})
	difyServer := httptest.NewTLSServer(sim)
	difyServer.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(func() { difyServer.Close(); sim.Close() })
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: difyServer.Certificate().Raw})
	p := newPlace(t, minimal+"dify: {baseURL: "+difyServer.URL+"}\n")
	s := p.server(t)
	if _, err := s.dify.Parameters(t.Context()); dify.KindOf(err) != dify.UnknownAuthority {
		t.Fatalf("without its authority: %v", err)
	}
	p.write(t, "secrets/dify-ca.crt", string(authority))
	p.look(t, s, 0)
	if _, err := s.dify.Parameters(t.Context()); err != nil {
		t.Errorf("with its authority: %v", err)
	}
	p.write(t, "secrets/dify-ca.crt", "no certificate")
	if refused := s.look(time.Now(), ""); !strings.Contains(refused, "dify-ca.crt: holds no PEM certificate") {
		t.Errorf("refused %q", refused)
	}
}
