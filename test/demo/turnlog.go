package demo

import (
	"context"
	"log/slog"
	"time"
)

// finishedTurn is what the server's log says of a turn: the one place that knows what Dify took, whichever Dify it is.
type finishedTurn struct {
	follower  string // the server's alias
	outcome   string
	accepted  time.Time // when the question was
	waited    time.Duration
	firstText time.Duration // since the call of Dify; 0 if no text came
	took      time.Duration // of the calls, pauses between them included
	tries     int64
}

// turnLog passes the server's log on and picks out the lines about finished turns.
type turnLog struct {
	slog.Handler
	finished func(finishedTurn)
}

// Enabled is true where a turn's line is written; Handle asks the wrapped handler for itself.
func (l turnLog) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo || l.Handler.Enabled(ctx, level)
}

// Handle passes a record on, then looks at it.
func (l turnLog) Handle(ctx context.Context, r slog.Record) error {
	var err error
	if l.Handler.Enabled(ctx, r.Level) {
		err = l.Handler.Handle(ctx, r)
	}
	if r.Message == "Turn finished" {
		l.finished(readTurn(r))
	}
	return err
}

// WithAttrs keeps looking. The server puts no attributes on its logger that a turn's line needs.
func (l turnLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return turnLog{l.Handler.WithAttrs(attrs), l.finished}
}

// WithGroup keeps looking.
func (l turnLog) WithGroup(name string) slog.Handler {
	return turnLog{l.Handler.WithGroup(name), l.finished}
}

func readTurn(r slog.Record) finishedTurn {
	var t finishedTurn
	r.Attrs(func(a slog.Attr) bool {
		switch v := a.Value.Resolve(); {
		case a.Key == "follower" && v.Kind() == slog.KindString:
			t.follower = v.String()
		case a.Key == "outcome" && v.Kind() == slog.KindString:
			t.outcome = v.String()
		case a.Key == "tries" && v.Kind() == slog.KindInt64:
			t.tries = v.Int64()
		case a.Key == "waited" && v.Kind() == slog.KindDuration:
			t.waited = v.Duration()
		case a.Key == "firstText" && v.Kind() == slog.KindDuration:
			t.firstText = v.Duration()
		case a.Key == "took" && v.Kind() == slog.KindDuration:
			t.took = v.Duration()
		}
		return true
	})
	t.accepted = r.Time.Add(-t.took - t.waited)
	return t
}
