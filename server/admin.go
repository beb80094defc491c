package server

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const pingTimeout = 2 * time.Second // for the store, within a readiness probe

// metrics of the server itself.
type metrics struct {
	reloads     *prometheus.CounterVec
	configValid prometheus.Gauge
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
	m.configValid.Set(1)
	r.MustRegister(m.reloads, m.configValid,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// adminHandler serves what the platform team's tools ask for, on an address of its own.
func (s *Server) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", s.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{ErrorLog: s.options.HTTPLog}))
	return mux
}

// ready says whether pushes should come here: the configuration was valid at the start, so the store decides, and
// whether this process is about to end.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	if s.draining.Load() {
		http.Error(w, "stopping", http.StatusServiceUnavailable)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), pingTimeout)
	defer cancel()
	if err := s.store.Ping(ctx); err != nil {
		s.options.Log.Warn("Not ready: the session store does not answer", "error", err)
		http.Error(w, "the session store does not answer", http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(w, "ok\n")
}
