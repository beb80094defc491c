package webhook

import (
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/server/wechat"
)

// Metrics of a bot's pushes and replies. They carry no follower and no text.
type Metrics struct {
	pushes        *prometheus.CounterVec
	refused       *prometheus.CounterVec
	replies       *prometheus.CounterVec
	replyTime     prometheus.Histogram
	wakeUp        prometheus.Histogram
	waiting       prometheus.Gauge
	verifications *prometheus.CounterVec

	connectionsClosed prometheus.Counter
	panics            prometheus.Counter
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		pushes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "wechatbot", Name: "pushes_total",
			Help: "Deliveries of pushes, by type (unread if it was not opened) and by what became of them.",
		}, []string{"type", "outcome"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "wechatbot", Name: "refused_pushes_total",
			Help: "Deliveries that are not provably WeChat's, by the first reason found. All but query, signature and " +
				"encrypt_type point to a setting that differs from WeChat's console.",
		}, []string{"reason"}),
		replies: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "wechatbot", Name: "replies_total", Help: "What deliveries were answered with.",
		}, []string{"kind"}),
		replyTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "wechatbot", Name: "reply_seconds",
			Help:    "Time from the first byte of a delivery to its reply. WeChat gives up after 5 s.",
			Buckets: []float64{0.005, 0.025, 0.1, 0.5, 1, 2, 3, 4, 4.5, 4.75, 5, 6}, NativeHistogramBucketFactor: 1.1,
		}),
		wakeUp: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "wechatbot", Name: "answer_to_reply_seconds",
			Help:    "Time from the end of an answer to the reply that has waited for it.",
			Buckets: []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5}, NativeHistogramBucketFactor: 1.1,
		}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "wechatbot", Name: "deliveries_waiting", Help: "Deliveries that are being handled now.",
		}),
		verifications: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "wechatbot", Name: "url_verifications_total", Help: "Verifications of the URL by WeChat's console.",
		}, []string{"outcome"}),
		connectionsClosed: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "wechatbot", Name: "unauthenticated_connections_closed_total",
			Help: "Connections without a valid request that were closed because there were too many of them.",
		}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "wechatbot", Name: "webhook_panics_total",
			Help: "Panics while handling a request. The request was acknowledged.",
		}),
	}
	for _, reason := range reasons { // an alert sees a first one only if there was a zero before it
		m.refused.WithLabelValues(string(reason))
	}
	r.MustRegister(m.pushes, m.refused, m.replies, m.replyTime, m.wakeUp, m.waiting, m.verifications,
		m.connectionsClosed, m.panics)
	return m
}

var reasons = []wechat.Reason{
	wechat.ReasonQuery, wechat.ReasonSize, wechat.ReasonSignature, wechat.ReasonWindow, wechat.ReasonPlainRefused,
	wechat.ReasonNoKey, wechat.ReasonEncryptType, wechat.ReasonEnvelope, wechat.ReasonJSON, wechat.ReasonCipher,
}

func (m *Metrics) push(kind, outcome string) { m.pushes.WithLabelValues(kind, outcome).Inc() }

func (m *Metrics) replied(p *wechat.Push, kind turn.Kind, received, ready time.Time) {
	outcome := "answered"
	switch kind {
	case turn.Silent:
		outcome = "acknowledged"
	case turn.Pushed:
		outcome = "pushed"
	case turn.Held:
		outcome = "held"
	default: // shows the follower something
	}
	m.push(typeLabel(p), outcome)
	m.replies.WithLabelValues(string(kind)).Inc()
	if kind == turn.Held {
		return
	}
	m.replyTime.Observe(time.Since(received).Seconds())
	if ready.After(received) {
		m.wakeUp.Observe(time.Since(ready).Seconds())
	}
}

// Only known names become labels: a sender must not be able to make new series.
var (
	messageTypes = []string{"text", "image", "voice", "video", "shortvideo", "location", "link", "file", "miniprogrampage"}
	eventTypes   = []string{
		"subscribe", "unsubscribe", "scan", "location", "click", "view", "templatesendjobfinish", "masssendjobfinish",
		"kf_create_session", "kf_close_session", "user_authorization_cancellation",
	}
)

func typeLabel(p *wechat.Push) string {
	if p.MsgType == "event" {
		if e := strings.ToLower(p.Event); slices.Contains(eventTypes, e) {
			return "event_" + e
		}
		return "event_other"
	}
	if slices.Contains(messageTypes, p.MsgType) {
		return p.MsgType
	}
	return "other"
}
