package memory_test

import (
	"flag"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/session/memory"
	"github.com/wechatbot/wechatbot-operator/server/session/records"
	"github.com/wechatbot/wechatbot-operator/server/session/sessiontest"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// Cases wait for the real clock most of the time: many at once need no more of a processor than two.
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err) // it is a number
	}
	goleak.VerifyTestMain(m)
}

// plenty is more bytes than any test uses that is not about them.
const plenty = 1 << 30

// shared is a store whose records another one can be opened on, as another process would.
type shared struct {
	session.Store
	records *memory.Records
}

func open(r *memory.Records, o session.Options) session.Store {
	return shared{records.New(r.Port(o.Holder), o.Holder), r}
}

var harness = sessiontest.Harness{
	Open: func(_ testing.TB, o session.Options) session.Store { return open(memory.New(o, plenty), o) },
	Reopen: func(t testing.TB, s session.Store, o session.Options) session.Store {
		t.Helper()
		first, ok := s.(shared)
		if !ok {
			t.Fatalf("not opened here: %T", s)
		}
		return open(first.records, o)
	},
}

func TestSuite(t *testing.T) { sessiontest.RunBrief(t, harness) }

func TestDuty(t *testing.T) { sessiontest.RunDuty(t, harness) }

// In a bubble time stands still while anything can run: what the cases wait for happens at its very instant, and a
// waiter that nobody wakes is a deadlock that is reported.
func TestSuiteInBubble(t *testing.T) {
	for _, c := range append(sessiontest.Cases(), sessiontest.DutyCases()...) {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { c.Run(t, harness) })
		})
	}
}
