package page

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wechatbot/wechatbot-operator/server/media"
)

const (
	follower = "oFollowerWhoReads_0123456789"
	turn     = "24000000000000001"
	prefix   = "/a/"
)

// shelf has answers by follower and turn, and counts how often it is asked.
type shelf struct {
	answers map[string]Answer
	renewed *Answer
	err     error
	asked   int
}

func (s *shelf) Answer(_ context.Context, follower, turn string) (Answer, bool, error) {
	s.asked++
	a, ok := s.answers[follower+" "+turn]
	return a, ok, s.err
}

func (s *shelf) Renewable(ctx context.Context, follower, turn string) (Answer, func(context.Context) (Answer, error), bool, error) {
	a, ok, err := s.Answer(ctx, follower, turn)
	return a, func(context.Context) (Answer, error) {
		if s.renewed == nil {
			return Answer{}, errors.New("no answer")
		}
		return *s.renewed, nil
	}, ok, err
}

// desk is a handler on a clock that a test moves.
type desk struct {
	*Handler
	*shelf
	log  *strings.Builder
	time time.Time
}

func newDesk(t *testing.T, answers map[string]Answer, change ...func(*Settings)) *desk {
	t.Helper()
	d := &desk{shelf: &shelf{answers: answers}, log: new(strings.Builder), time: time.Unix(1_800_000_000, 0)}
	s := Settings{
		Enabled: true, Domain: "bot.example.com", Path: prefix, Key: NewKey("token", "app-key"), TTL: time.Hour, AILabel: "（内容由AI生成）",
		Notice: "备案号 <1>", FilesOrigin: "https://dify.example.com",
	}
	for _, c := range change {
		c(&s)
	}
	d.Handler = New(Options{
		Answers: d.shelf, Fetcher: media.New(media.Options{}), Metrics: NewMetrics(prometheus.NewRegistry()),
		Log: slog.New(slog.NewTextHandler(d.log, nil)),
	}, s)
	d.now = func() time.Time { return d.time }
	return d
}

// path is of the page of the turn, which ends now.
func (d *desk) path(t *testing.T) string {
	t.Helper()
	path, ok := strings.CutPrefix(d.Address(follower, turn, d.time), "https://bot.example.com")
	if !ok {
		t.Fatal("there is no address")
	}
	return path
}

// response is what a browser gets.
type response struct {
	StatusCode int
	Header     http.Header
	text       string
}

func (d *desk) get(t *testing.T, path string, change ...func(*http.Request)) response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return response{w.Code, w.Header(), w.Body.String()}
}

func body(t *testing.T, r response) string {
	t.Helper()
	return r.text
}

func one(markdown string) map[string]Answer {
	return map[string]Answer{follower + " " + turn: {Question: "怎么 <b>报名</b>？", Markdown: markdown}}
}
