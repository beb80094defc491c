//go:build redis

package redis

import (
	"sync"
	"testing"

	"github.com/wechatbot/wechatbot-operator/server/session"

	"github.com/wechatbot/wechatbot-operator/server/session/sessiontest"
)

// harness opens each store under a bot of its own, and reopens it as another process would.
func harness(at Server) sessiontest.Harness {
	type opened struct {
		bot     string
		options session.Options
	}
	var known sync.Map
	return sessiontest.Harness{
		Open: func(t testing.TB, o session.Options) session.Store {
			t.Helper()
			what := opened{newBot(), o}
			s := openStore(t, what.bot, at, o)
			known.Store(s, what)
			return s
		},
		Reopen: func(t testing.TB, s session.Store) session.Store {
			t.Helper()
			what, _ := known.Load(s)
			of, ok := what.(opened)
			if !ok {
				t.Fatal("reopened a store that was not opened")
			}
			return openStore(t, of.bot, at, of.options)
		},
	}
}

func TestSuite(t *testing.T) {
	t.Parallel()
	sessiontest.Run(t, harness(startServer(t).standalone()))
}
