package account

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wechatbot/wechatbot-operator/api/serverstatus"
	"github.com/wechatbot/wechatbot-operator/server/wechat/api"
)

// Metrics of the account and of the calls of WeChat's API. They carry no follower and no text.
type Metrics struct {
	calls        *prometheus.CounterVec
	took         *prometheus.HistogramVec
	capabilities *prometheus.GaugeVec
	duty         prometheus.Gauge
	menu         *prometheus.GaugeVec
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "wechatbot", Name: "wechat_calls_total",
			Help: "Calls of WeChat's API, by path, by the kind of their failure (ok for none) and by WeChat's errcode.",
		}, []string{"api", "kind", "code"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "wechatbot", Name: "wechat_call_seconds", Help: "Time from a call of WeChat's API to its answer, or to its failure.",
			Buckets: []float64{0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60}, NativeHistogramBucketFactor: 1.1,
		}, []string{"api"}),
		capabilities: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "wechatbot", Name: "account_capability",
			Help: "1 for what is known of each thing that only some kinds of accounts may do: yes, no or unknown.",
		}, []string{"capability", "state"}),
		duty: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "wechatbot", Name: "account_duty", Help: "1 if this process does what is done once for the account.",
		}),
		menu: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "wechatbot", Name: "menu_state", Help: "1 for how the account's menu is, in the process that has the account's duty.",
		}, []string{"state"}),
	}
	r.MustRegister(m.calls, m.took, m.capabilities, m.duty, m.menu)
	return m
}

func (m *Metrics) called(c api.Attempt) {
	kind, code := "ok", ""
	if c.Kind != "" {
		kind = string(c.Kind)
	}
	if c.Code != 0 {
		code = strconv.Itoa(c.Code)
	}
	m.calls.WithLabelValues(c.API, kind, code).Inc()
	m.took.WithLabelValues(c.API).Observe(c.Took.Seconds())
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// show shows what is known of the account. A bot without an AppSecret shows nothing.
func (a *Account) show() {
	m := a.options.Metrics
	if a.Client() == nil {
		m.capabilities.Reset()
		m.menu.Reset()
		return
	}
	for _, c := range capabilities {
		is := a.Can(c)
		for _, state := range []serverstatus.Capability{serverstatus.Yes, serverstatus.No, serverstatus.Unknown} {
			m.capabilities.WithLabelValues(string(c), string(state)).Set(one(is == state))
		}
	}
}

// showMenu shows how the menu is; nothing if that is not known.
func (a *Account) showMenu(f menuFinding) {
	m := a.options.Metrics.menu
	if f.state == "" {
		m.Reset()
		return
	}
	for _, state := range []serverstatus.MenuState{
		serverstatus.MenuPublished, serverstatus.MenuDrifted, serverstatus.MenuRejected, serverstatus.MenuNotEntitled,
	} {
		m.WithLabelValues(string(state)).Set(one(state == f.state))
	}
}
