package turn

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/dify/breaker"
)

// Metrics of a bot's turns. They carry no follower and no text.
type Metrics struct {
	inFlight    prometheus.Gauge
	turns       *prometheus.CounterVec
	holds       prometheus.Counter
	noHolds     prometheus.Counter
	firstText   prometheus.Histogram
	difyTotal   prometheus.Histogram
	difyErrors  *prometheus.CounterVec
	tokens      *prometheus.CounterVec
	price       *prometheus.CounterVec
	storeErrors prometheus.Counter
	panics      prometheus.Counter
	breaker     *prometheus.GaugeVec
	sends       *prometheus.CounterVec

	budgetRefusals *prometheus.CounterVec
}

// answerBuckets are in seconds; 4.5, 9.5 and 14.5 are the deadlines of the three deliveries.
var answerBuckets = []float64{0.25, 0.5, 1, 2, 3, 4.5, 6, 9.5, 14.5, 20, 30, 60, 120, 300}

// NewMetrics makes the metrics and registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: "wechatbot", Name: name, Help: help}
	}
	histogram := func(name, help string) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{
			Namespace: "wechatbot", Name: name, Help: help, Buckets: answerBuckets, NativeHistogramBucketFactor: 1.1,
		}
	}
	m := &Metrics{
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "wechatbot", Name: "turns_in_flight", Help: "Turns that are being answered by this process.",
		}),
		turns: prometheus.NewCounterVec(counter("turns_total",
			"Turns that this process has worked on, by how they ended."), []string{"outcome"}),
		holds: prometheus.NewCounter(counter("held_deliveries_total",
			"Deliveries that were left to time out, so that the answer could be the reply to the next.")),
		noHolds: prometheus.NewCounter(counter("holds_refused_total",
			"Deliveries that were answered before the answer was there because the budget of reply.holdsPerMinute was used up.")),
		firstText: prometheus.NewHistogram(histogram("dify_first_text_seconds",
			"Time from the start of a turn to the first text of its answer.")),
		difyTotal: prometheus.NewHistogram(histogram("dify_answer_seconds",
			"Time from the start of a turn to its end, retries included.")),
		difyErrors: prometheus.NewCounterVec(counter("dify_errors_total",
			"Dify calls that failed, by kind and by Dify's own code."), []string{"kind", "code"}),
		tokens: prometheus.NewCounterVec(counter("dify_tokens_total",
			"Tokens that Dify has reported, by type."), []string{"type"}),
		price: prometheus.NewCounterVec(counter("dify_price_total",
			"Price that Dify has reported, by currency."), []string{"currency"}),
		storeErrors: prometheus.NewCounter(counter("session_store_errors_total",
			"Calls of the session store that failed.")),
		panics: prometheus.NewCounter(counter("panics_total",
			"Turns and deliveries that have met a bug: each is ended, and the process goes on.")),
	}
	m.sends = prometheus.NewCounterVec(counter("sends_total",
		"Messages outside any push that carry answers, by result; notOpen: not sent, as WeChat lets nothing through now."), []string{"result"})
	m.breaker = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: "wechatbot", Name: "dify_breaker",
		Help: "1 for the state of the circuit breaker before Dify: closed, open (questions fail at once), halfOpen (one probes).",
	}, []string{"state"})
	m.budgetRefusals = prometheus.NewCounterVec(counter("budget_refusals_total",
		"Questions that were not taken because a budget of limits.tokens was used up, by whose."), []string{"budget"})
	for _, budget := range []string{"follower", "bot"} {
		m.budgetRefusals.WithLabelValues(budget)
	}
	m.breakerState(breaker.Closed)
	r.MustRegister(m.breaker, m.sends, m.budgetRefusals, m.inFlight, m.turns, m.holds, m.noHolds, m.firstText, m.difyTotal, m.difyErrors, m.tokens, m.price,
		m.storeErrors, m.panics)
	return m
}

func (m *Metrics) difyError(err error) {
	kind, code := "other", ""
	if e, ok := errors.AsType[*dify.Error](err); ok {
		kind, code = string(e.Kind), e.CodeLabel()
	}
	m.difyErrors.WithLabelValues(kind, code).Inc()
}

func (m *Metrics) breakerState(now breaker.State) {
	for _, s := range breaker.States {
		m.breaker.WithLabelValues(string(s)).Set(map[bool]float64{true: 1}[s == now])
	}
}

func (m *Metrics) usage(u dify.Usage) {
	m.tokens.WithLabelValues("prompt").Add(float64(u.PromptTokens))
	m.tokens.WithLabelValues("completion").Add(float64(u.CompletionTokens))
	if u.TotalPrice > 0 && u.Currency != "" {
		m.price.WithLabelValues(u.Currency).Add(u.TotalPrice)
	}
}
