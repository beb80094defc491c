package webhook

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"github.com/wechatbot/wechatbot-operator/server/wechat"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// metric is the series with these labels (name, value, name, value …); nil if there is none.
func (w *world) metric(name string, labels ...string) *dto.Metric {
	families, err := w.registry.Gather()
	if err != nil {
		return nil
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var have []string
			for _, l := range m.GetLabel() {
				have = append(have, l.GetName()+"="+l.GetValue())
			}
			all := len(have) == len(labels)/2
			for i := 0; i < len(labels); i += 2 {
				all = all && slices.Contains(have, labels[i]+"="+labels[i+1])
			}
			if all {
				return m
			}
		}
	}
	return nil
}

// count is a counter's value, or how many values a histogram has; 0 if there is no such series.
func (w *world) count(name string, labels ...string) int {
	m := w.metric(name, labels...)
	return int(m.GetCounter().GetValue()) + int(m.GetHistogram().GetSampleCount())
}

func TestMetricsAreWellFormed(t *testing.T) {
	w := newWorld(t, loadManifest(t).options(wechatsim.Plain), difysim.Behaviour{})
	must(t, w.inProcess(t), http.MethodPost, path+"?"+signed(w.Token, time.Now()), textPush("/help", 1))
	must(t, w.inProcess(t), http.MethodGet, path, "")
	problems, err := testutil.GatherAndLint(w.registry)
	if err != nil {
		t.Fatal(err)
	}
	problems = slices.DeleteFunc(problems, func(p promlint.Problem) bool { return !strings.HasPrefix(p.Metric, "wechatbot_") })
	if len(problems) > 0 {
		t.Error(problems)
	}
}

func TestEveryPushIsCounted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, loadManifest(t).options(wechatsim.Plain), difysim.Behaviour{Total: 7 * time.Second})
		f := w.platform(t, wechatsim.Plain).Follower(w.OpenID)
		for range 2 {
			if _, err := f.Send(t.Context(), "/help"); err != nil {
				t.Fatal(err)
			}
		}
		for _, push := range []func() (*wechatsim.Exchange, error){
			func() (*wechatsim.Exchange, error) { return f.Send(t.Context(), "a question that is held once") },
			func() (*wechatsim.Exchange, error) { return f.Follow(t.Context()) },
			func() (*wechatsim.Exchange, error) { return f.View(t.Context(), "http://example.com") },
			func() (*wechatsim.Exchange, error) {
				return f.Push(t.Context(), "<xml><ToUserName>gh_3f1c9a7e52b0</ToUserName><FromUserName>"+w.OpenID+
					"</FromUserName><CreateTime>1</CreateTime><MsgType>event</MsgType><Event>made up by a stranger</Event></xml>")
			},
			func() (*wechatsim.Exchange, error) {
				return f.Push(t.Context(), "<xml><ToUserName>gh_3f1c9a7e52b0</ToUserName><FromUserName>"+w.OpenID+
					"</FromUserName><CreateTime>1</CreateTime><MsgType>made up by a stranger</MsgType></xml>")
			},
			func() (*wechatsim.Exchange, error) { return f.Push(t.Context(), "<xml>") },
		} {
			if _, err := push(); err != nil {
				t.Fatal(err)
			}
		}
		via := w.inProcess(t)
		must(t, via, http.MethodPost, path, textPush("unsigned", 3))
		must(t, via, http.MethodPost, path+"?"+signed(w.Token, time.Now()), strings.Repeat("x", maxBody+1))
		must(t, via, http.MethodGet, path, "")
		must(t, via, http.MethodGet, path+"?echostr=1&"+signed(w.Token, time.Now()), "")

		for _, c := range []struct {
			name   string
			labels []string
			want   int
		}{
			{"wechatbot_pushes_total", []string{"type", "text", "outcome", "answered"}, 3},
			{"wechatbot_pushes_total", []string{"type", "text", "outcome", "held"}, 1},
			{"wechatbot_pushes_total", []string{"type", "event_subscribe", "outcome", "answered"}, 1},
			{"wechatbot_pushes_total", []string{"type", "event_view", "outcome", "acknowledged"}, 1},
			{"wechatbot_pushes_total", []string{"type", "event_other", "outcome", "acknowledged"}, 1},
			{"wechatbot_pushes_total", []string{"type", "other", "outcome", "acknowledged"}, 1},
			{"wechatbot_pushes_total", []string{"type", "unread", "outcome", "unusable"}, 1},
			{"wechatbot_pushes_total", []string{"type", "unread", "outcome", "unauthenticated"}, 1},
			{"wechatbot_pushes_total", []string{"type", "unread", "outcome", "tooLarge"}, 1},
			{"wechatbot_refused_pushes_total", []string{"reason", string(wechat.ReasonSignature)}, 1},
			{"wechatbot_refused_pushes_total", []string{"reason", string(wechat.ReasonNoKey)}, 0},
			{"wechatbot_replies_total", []string{"kind", "notice"}, 3},
			{"wechatbot_replies_total", []string{"kind", "answer"}, 1},
			{"wechatbot_replies_total", []string{"kind", "held"}, 1},
			{"wechatbot_replies_total", []string{"kind", "silent"}, 3},
			{"wechatbot_reply_seconds", nil, 7},
			{"wechatbot_answer_to_reply_seconds", nil, 1},
			{"wechatbot_url_verifications_total", []string{"outcome", "ok"}, 1},
			{"wechatbot_url_verifications_total", []string{"outcome", "refused"}, 1},
			{"wechatbot_held_deliveries_total", nil, 1},
		} {
			m := w.metric(c.name, c.labels...)
			if m == nil || w.count(c.name, c.labels...) != c.want {
				t.Errorf("%s%v is %v, want %d", c.name, c.labels, m, c.want)
			}
		}
		if m := w.metric("wechatbot_deliveries_waiting"); m == nil || m.GetGauge().GetValue() != 0 {
			t.Errorf("wechatbot_deliveries_waiting is %v, want 0", m)
		}
	})
}

func TestWaitingDeliveriesAreCounted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, loadManifest(t).options(wechatsim.Plain), difysim.Behaviour{Total: 3 * time.Second})
		done := make(chan answered, 1)
		via := w.inProcess(t)
		go func() {
			a, err := do(t.Context(), t, via, http.MethodPost, path+"?"+signed(w.Token, time.Now()), textPush("a question", 1))
			if err != nil {
				t.Error(err)
			}
			done <- a
		}()
		if err := w.dify.WaitRunning(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if got := w.metric("wechatbot_deliveries_waiting").GetGauge().GetValue(); got != 1 {
			t.Errorf("%v deliveries wait, want 1", got)
		}
		<-done
	})
}
