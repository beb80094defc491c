package server

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const pingTimeout = 2 * time.Second // for the store, within a readiness probe or a look at its state

// storeEvery is how often it is looked how the store is.
const storeEvery = 15 * time.Second

// metrics of the server itself.
type metrics struct {
	reloads       *prometheus.CounterVec
	configValid   prometheus.Gauge
	unknownFields prometheus.Gauge
	storeUp       prometheus.Gauge
	waiting       prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "wechatbot", Name: "config_reloads_total",
			Help: "Changed configurations or secrets, by what became of them.",
		}, []string{"outcome"}),
		configValid: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "wechatbot", Name: "config_valid",
			Help: "1 if the files are what is in force, 0 if changed ones were refused.",
		}),
	}
	m.unknownFields = prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "wechatbot", Name: "config_unknown_fields",
		Help: "Fields of the configuration that a newer operator has written and this version does not know.",
	})
	m.storeUp = prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "wechatbot", Name: "session_store_up", Help: "1 if the session store has answered when it was last asked.",
	})
	m.waiting = prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "wechatbot", Name: "turns_waiting",
		Help: "Followers whose question waits for a place, counted every 15 s: of the whole bot, as any process with its sessions sees it.",
	})
	m.configValid.Set(1)
	r.MustRegister(m.waiting, m.reloads, m.configValid, m.unknownFields, m.storeUp,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// adminHandler serves what the platform team's tools ask for, on an address of its own.
func (s *Server) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", s.ready)
	mux.HandleFunc("GET /status", s.status)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{ErrorLog: s.options.HTTPLog}))
	return mux
}

// ready says whether pushes should come here: the configuration was valid at the start, the store was reached once since
// then, and this process is not about to end. A store that is away later makes nothing unready: a bot that is ready
// still answers every push with a line, one that is not answers none.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	if s.draining.Load() {
		http.Error(w, "stopping", http.StatusServiceUnavailable)
		return
	}
	verbose := r.URL.Query().Has("verbose") // as the operator asks: the kubelet shows no body
	if verbose || !s.reached.Load() {
		if err := s.askStore(r.Context()); err != nil {
			answer := "the session store does not answer"
			if verbose {
				answer += ": " + err.Error()
			}
			http.Error(w, answer, http.StatusServiceUnavailable)
			return
		}
	}
	_, _ = io.WriteString(w, "ok\n")
}

// askStore asks the store whether it does what the bot needs, and notes the answer.
func (s *Server) askStore(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	err := s.store.Ping(ctx)
	s.notes.store(err, s.metrics.storeUp, s.options.Log)
	if err == nil {
		s.reached.Store(true)
	}
	return err
}

// watchStore looks how the store is, until ctx ends.
func (s *Server) watchStore(ctx context.Context) {
	tick := time.NewTicker(storeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = s.askStore(ctx) // it is noted
			s.countWaiting(ctx)
			s.budget.ask(ctx, s.store)
		}
	}
}

// countWaiting counts the bot's queue. Where another process has the sessions, that one does.
func (s *Server) countWaiting(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	n, err := s.store.Waiting(ctx)
	if err != nil { // askStore says that the store is away
		n = 0
	}
	s.metrics.waiting.Set(float64(n))
}

// storeNotes says in the log how the store is: when that changes, and with growing distance while it is away.
type storeNotes struct {
	mu     sync.Mutex
	failed int // times in a row
	next   int // of them that is logged next
	asked  bool
	err    error // of the last answer
}

// known tells whether the store was asked yet.
func (n *storeNotes) known() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked
}

// last is how the store was when it was last asked; false without an error if it was not asked yet.
func (n *storeNotes) last() (ok bool, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked && n.err == nil, n.err
}

func (n *storeNotes) store(err error, up prometheus.Gauge, log *slog.Logger) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked, n.err = true, err
	if err == nil {
		up.Set(1)
		if n.failed > 0 {
			log.Info("The session store answers again", "failures", n.failed)
		}
		n.failed, n.next = 0, 0
		return
	}
	up.Set(0)
	if n.failed >= n.next {
		log.Warn("The session store does not answer", "error", err, "failures", n.failed+1)
		n.next = max(2*n.next, 1)
	}
	n.failed++
}
