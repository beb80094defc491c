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
	var bots sync.Map // of the stores
	return sessiontest.Harness{
		Open: func(t testing.TB, o session.Options) session.Store {
			t.Helper()
			bot := newBot()
			s := openStore(t, bot, at, o)
			bots.Store(s, bot)
			return s
		},
		Reopen: func(t testing.TB, s session.Store, o session.Options) session.Store {
			t.Helper()
			bot, ok := bots.Load(s)
			if !ok {
				t.Fatal("reopened a store that was not opened")
			}
			return openStore(t, bot.(string), at, o) //nolint:forcetypeassert // only names are in there
		},
	}
}

func TestSuite(t *testing.T) {
	t.Parallel()
	sessiontest.Run(t, harness(startServer(t).standalone()))
}

func TestDuty(t *testing.T) {
	t.Parallel()
	sessiontest.RunDuty(t, harness(startServer(t).standalone()))
}
