package server

import (
	"context"
	"errors"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/api/serverstatus"
	"github.com/wechatbot/wechatbot-operator/server/session"
)

// budget is what is known of the bot's use of tokens, which the session store counts, and what of it may be used.
type budget struct {
	used  prometheus.Gauge
	limit *prometheus.GaugeVec

	mu    sync.Mutex
	may   serverconfig.Tokens
	last  session.Used
	known bool // the store has said it
}

func newBudget(r prometheus.Registerer) *budget {
	b := &budget{
		used: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "wechatbot", Name: "budget_tokens_used",
			Help: "Tokens that the bot has used today, over all replicas, as the session store has last said.",
		}),
		limit: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "wechatbot", Name: "budget_tokens_limit",
			Help: "Tokens that may be used on a day, by the bot and by each follower; not there without a limit.",
		}, []string{"budget"}),
	}
	r.MustRegister(b.used, b.limit)
	return b
}

// configure takes what may be used.
func (b *budget) configure(may serverconfig.Tokens) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.may = may
	for name, tokens := range map[string]int64{"follower": may.Follower, "bot": may.Bot} {
		if tokens > 0 {
			b.limit.WithLabelValues(name).Set(float64(tokens))
		} else {
			b.limit.DeleteLabelValues(name)
		}
	}
}

// ask asks the store what was used. While it does not answer, what it has said last is as good as anything; a process without the
// sessions knows nothing.
func (b *budget) ask(ctx context.Context, store session.Store) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	used, err := store.Used(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case err == nil:
		b.last, b.known = used, true
		b.used.Set(float64(used.Tokens))
	case errors.Is(err, session.ErrElsewhere):
		b.last, b.known = session.Used{}, false
		b.used.Set(0)
	}
}

// status is nil where nothing is limited.
func (b *budget) status() *serverstatus.Budget {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.may == (serverconfig.Tokens{}) {
		return nil
	}
	s := &serverstatus.Budget{Follower: b.may.Follower, Bot: b.may.Bot}
	if b.known {
		s.Used = new(b.last.Tokens)
	}
	if !b.last.Until.IsZero() {
		s.Until = b.last.Until.UTC().Format("2006-01-02T15:04:05Z")
	}
	return s
}
