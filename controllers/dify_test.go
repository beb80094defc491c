package controllers_test

import (
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

// Why a Dify cannot be reached is in the condition and in the event.
func TestDify_CauseIsToldInConditionAndEvent(t *testing.T) {
	t.Parallel()
	sharedOperator(t)
	plain, secure := newDify(t, difysim.Options{Key: difyKey}), secureDify(t)
	for name, c := range map[string]struct{ baseURL, cause string }{
		"no such host":       {"http://dify.invalid/v1", "no such host"},
		"connection refused": {"http://127.0.0.1:1/v1", "connection refused"},
		"unknown authority":  {secure.URL + "/v1", "signed by unknown authority. Set spec.dify.caSecretRef"},
		"no TLS":             {strings.Replace(plain, "http://", "https://", 1), "speaks no TLS"},
		"TLS only":           {strings.Replace(secure.URL, "https://", "http://", 1), "speaks TLS only"},
		"not Dify":           {yes(t), "not Dify's service API"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.create(func(b *v1alpha1.WechatBot) { b.Spec.Dify.BaseURL = c.baseURL })
			says(t, w.expect(v1alpha1.ConditionDifyReachable, isFalse, v1alpha1.ReasonUnreachable), c.cause, c.baseURL)
			w.expectEventNote(corev1.EventTypeWarning, v1alpha1.ReasonUnreachable, c.cause)
			// Another cause is told too, though the condition stays False.
			w.edit(func(s *v1alpha1.WechatBotSpec) { s.Dify.BaseURL = "http://dify.invalid:81/v1" })
			w.expectEventNote(corev1.EventTypeWarning, v1alpha1.ReasonUnreachable, "http://dify.invalid:81/v1 cannot be reached: no such host")
		})
	}
}

// A Dify with a private CA is asked as the servers ask it: by spec.dify.caSecretRef.
func TestDify_PrivateAuthority(t *testing.T) {
	t.Parallel()
	sharedOperator(t)
	w, secure := newWorld(t), secureDify(t)
	w.secret("dify-ca", map[string]string{"ca.crt": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}))})
	w.create(func(b *v1alpha1.WechatBot) {
		b.Spec.Dify.BaseURL = secure.URL
		b.Spec.Dify.CASecretRef = &v1alpha1.SecretKeyRef{Name: "dify-ca", Key: "none"}
	})
	says(t, w.expect(v1alpha1.ConditionSecretsResolved, isFalse, v1alpha1.ReasonSecretKeyMissing), "spec.dify.caSecretRef", `"none"`)
	w.expect(v1alpha1.ConditionDifyReachable, isUnknown, v1alpha1.ReasonNotChecked)
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Dify.CASecretRef.Key = "ca.crt" })
	w.expect(v1alpha1.ConditionDifyReachable, isTrue, v1alpha1.ReasonAuthorized)
	w.serve()
	w.secret("dify-ca", map[string]string{"ca.crt": "garbage"})
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Limits.Questions = 7 }) // nothing tells of a Secret's change but a look
	says(t, w.expect(v1alpha1.ConditionSecretsResolved, isFalse, v1alpha1.ReasonSecretMalformed), "spec.dify.caSecretRef", "no PEM certificate")
}

// Bots whose Dify hangs delay none whose Dify answers, and none of them holds up its own children.
func TestDify_HangingOneDelaysNoOtherBot(t *testing.T) {
	t.Parallel()
	sharedOperator(t)
	hanging, release := hangingDify(t)
	defer release()
	slow := newWorld(t)
	for i := range 40 {
		slow.create(func(b *v1alpha1.WechatBot) {
			b.Name, b.Spec.Domain, b.Spec.Dify.BaseURL = fmt.Sprintf("bot-%d", i), fmt.Sprintf("bot-%d.%s.example.com", i, slow.namespace), hanging
		})
	}
	w := newWorld(t)
	began := time.Now()
	w.create()
	w.serve()
	t.Logf("ready %s after its creation", time.Since(began).Round(time.Millisecond))
	slow.expect(v1alpha1.ConditionDifyReachable, isUnknown, v1alpha1.ReasonNotChecked)
	says(t, slow.expect(v1alpha1.ConditionDifyReachable, isFalse, v1alpha1.ReasonUnreachable), "no answer in 10 s")
}

// Ready speaks for the address that the spec has now: it waits for that one's answer.
func TestDify_ReadyWaitsForANewAddress(t *testing.T) {
	t.Parallel()
	sharedOperator(t)
	w := newWorld(t)
	w.create()
	w.serve()
	hanging, release := hangingDify(t)
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Dify.BaseURL = hanging })
	w.expect(v1alpha1.ConditionReady, isFalse, v1alpha1.ReasonNotChecked)
	w.expect(v1alpha1.ConditionReconciling, isTrue, v1alpha1.ReasonProgressing)
	release()
	w.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonServing)
}

// An outage of a Dify that answered before warns, and leaves Ready as it is, also past a restart of the operator.
func TestDify_OutageWarnsOnly(t *testing.T) {
	o := quick()
	o.DifyUp = 200 * time.Millisecond
	op := startOperator(t, o)
	var away atomic.Bool
	sim := difysim.New(difysim.Options{Key: difyKey})
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if away.Load() {
			rw.WriteHeader(http.StatusBadGateway)
			return
		}
		sim.ServeHTTP(rw, r)
	}))
	t.Cleanup(func() { server.Close(); sim.Close() })
	w := newWorld(t)
	w.create(func(b *v1alpha1.WechatBot) { b.Spec.Dify.BaseURL = server.URL })
	w.serve()
	away.Store(true)
	says(t, w.expect(v1alpha1.ConditionDifyReachable, isFalse, v1alpha1.ReasonUnreachable), "5xx")
	w.expectEventNote(corev1.EventTypeWarning, v1alpha1.ReasonUnreachable, "5xx")
	w.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonServing)
	op.stop()
	before := new(v1alpha1.WechatBot)
	*before = *w.bot
	w.get(before)
	again := startOperator(t, o)
	eventually(t, func() error {
		return unless(again.calls.matching(http.MethodGet, "/secrets/winter") > 3, "not asked yet")
	})
	after := new(v1alpha1.WechatBot)
	*after = *w.bot
	w.get(after)
	if before.ResourceVersion != after.ResourceVersion {
		t.Errorf("a new operator writes of an outage that lasts: %s", describe(after))
	}
	away.Store(false)
	w.expect(v1alpha1.ConditionDifyReachable, isTrue, v1alpha1.ReasonAuthorized)
}

// expectEventNote waits for an event about the bot with these words.
func (w *world) expectEventNote(kind, reason, part string) {
	w.t.Helper()
	eventually(w.t, func() error {
		var events eventsv1.EventList
		if err := admin.List(w.t.Context(), &events, client.InNamespace(w.namespace)); err != nil {
			return err
		}
		var notes []string
		for _, e := range events.Items {
			notes = append(notes, e.Note)
			if e.Regarding.Name == w.bot.Name && e.Reason == reason && e.Type == kind && strings.Contains(e.Note, part) {
				return nil
			}
		}
		return fmt.Errorf("no %s event %s with %q among %q", kind, reason, part, notes)
	})
}

// secureDify is a Dify with a certificate that nobody trusts.
func secureDify(t testing.TB) *httptest.Server {
	t.Helper()
	sim := difysim.New(difysim.Options{Key: difyKey})
	server := httptest.NewUnstartedServer(sim)
	server.Config.ErrorLog = nil
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(func() { server.Close(); sim.Close() })
	return server
}

// yes answers every request with 200 and JSON.
func yes(t testing.TB) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		_, _ = rw.Write([]byte(`{"ok":true}`))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// hangingDify takes connections and answers nothing, until it is released and is a Dify.
func hangingDify(t testing.TB) (baseURL string, release func()) {
	t.Helper()
	sim := difysim.New(difysim.Options{Key: difyKey})
	released := make(chan struct{})
	var once atomic.Bool
	release = func() {
		if once.CompareAndSwap(false, true) {
			close(released)
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		select {
		case <-released:
			sim.ServeHTTP(rw, r)
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() { release(); server.Close(); sim.Close() })
	return server.URL, release
}
