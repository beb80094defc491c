package sessiontest_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/session/memory"
	"github.com/wechatbot/wechatbot-operator/server/session/sessiontest"
)

// faultEnv names the fault that a child process of TestSuiteFindsFaults gives its store.
const faultEnv = "SESSIONTEST_FAULT"

// faulty is a good store with one thing gone wrong.
type faulty struct {
	session.Store
	fault string
	calls int // cases with a fault that counts make their calls one after another
}

// faults are what can go wrong, and a case that has to notice.
var faults = map[string]string{
	"every delivery is a message": "a later delivery sees the turn as it is",
	"followers share message IDs": "the same message ID of two followers is two turns",
	"any concurrency":             "as many run as may, side by side",
	"any queue":                   "a full queue refuses, and leaves no trace",
	"any number open":             "a follower with too many open questions is refused, and that leaves no trace",
	"any rate":                    "the allowance of questions is kept, and what is refused uses none of it",
	"whole windows":               "the allowance refills evenly",
	"one window for ever":         "a shorter window counts at once",
	"claims unasked":              "whoever may not claim claims nothing",
	"late holders are let go on":  "a dead process' turn is taken over",
	"leases never end":            "a dead process' turn is taken over",
	"leases cannot be renewed":    "renewing keeps the lease",
	"finishing does not end":      "the end of a turn wakes everybody who awaits it",
	"conversations stay":          "the conversation follows progress and outcome",
	"receipts are lost":           "a message delivered again takes back what it was replied with",
	"looking is activity":         "looking records nothing",
	"replies show it twice":       "of two replies with the same text one is shown",
	"nothing is taken back":       "a reply that could not be written is taken back",
	"turns have no deadline":      "nobody works on a turn whose deadline is past",
	"others are not counted":      "every copy of a turn counts the follower's other turns",
	"cancels each time":           "a second delivery of a cancellation cancels nothing",
	"stopping is cancelling":      "a turn that was stopped is still to be told",
	"stops each time":             "a second wish to stop by one name stops nothing",
	"stops are not sent":          "that a turn was stopped is sent by whoever claims it",
	"clears each time":            "a second delivery of a clearing clears nothing",
	"clearing forgets all":        "clearing keeps the allowance",
	"forgetting is clearing":      "forgetting leaves nothing",
	"idle sessions stay":          "an idle session goes",
	"history grows":               "of the past, what was delivered goes first",
	"holds for all":               "holds have a budget that refills evenly",
	"budgets of no limit":         "a bot that has used up the day's tokens refuses everybody",
	"budgets of the bot alone":    "a follower who has used up the day's tokens is refused, and others are not",
	"only ends use tokens":        "what a turn has used that nobody ends counts, too",
	"days in another zone":        "the day's end gives the tokens anew",
	"nothing is pending":          "what a stopping process leaves behind is counted",
}

// open opens a store with the fault.
func open(fault string, o session.Options) session.Store {
	switch fault {
	case "leases never end":
		o.LeaseTTL = 1000 * time.Hour
	case "idle sessions stay":
		o.IdleTimeout = 1000 * time.Hour
	case "history grows":
		o.History = 1000
	}
	return &faulty{Store: memory.NewStore(o, 1<<30), fault: fault}
}

func (f *faulty) Begin(ctx context.Context, q session.Question, claim bool, l session.Limits) (session.Begun, error) {
	switch f.fault {
	case "every delivery is a message":
		f.calls++
		q.Key.ID += strings.Repeat("'", f.calls)
	case "followers share message IDs":
		q.Key.Follower = "everybody"
	case "any concurrency":
		l.Concurrency = 1000
	case "any queue":
		l.Queue = 1000
	case "any number open":
		l.Open = 1000
	case "turns have no deadline":
		l.Timeout = 0
	case "budgets of no limit":
		l.Tokens = session.Budget{}
	case "any rate":
		l.Questions = 0
	case "whole windows":
		f.calls++
		if l.Questions > 0 && f.calls > l.Questions {
			return session.Begun{Verdict: session.RateLimited, Delivery: 1}, nil
		}
	case "one window for ever":
		l.Window = max(l.Window, 10*time.Hour)
	case "claims unasked":
		claim = true
	}
	return f.Store.Begin(ctx, q, claim, l)
}

func (f *faulty) Renew(ctx context.Context) error {
	if f.fault == "leases cannot be renewed" {
		return nil
	}
	return f.Store.Renew(ctx)
}

func (f *faulty) Progress(ctx context.Context, l *session.Lease, p session.Progress) error {
	err := f.Store.Progress(ctx, l, p)
	if f.fault == "late holders are let go on" {
		return nil
	}
	return err
}

func (f *faulty) Finish(ctx context.Context, l *session.Lease, o session.Outcome) error {
	switch {
	case f.fault == "finishing does not end" && o.State.Over():
		return f.Store.Progress(ctx, l, session.Progress{Markdown: o.Answer.Markdown})
	case f.fault == "budgets of the bot alone":
		o.Use.Each = false
	case f.fault == "days in another zone":
		o.Use.Zone = time.FixedZone("", 12*60*60-int(time.Now().Unix()%(24*60*60)))
	case f.fault == "conversations stay" && o.ConversationID == "":
		o.ConversationID = l.ConversationID
	}
	return f.Store.Finish(ctx, l, o)
}

func (f *faulty) Use(ctx context.Context, follower string, u session.Use) error {
	if f.fault == "only ends use tokens" {
		return nil
	}
	return f.Store.Use(ctx, follower, u)
}

func (f *faulty) Turn(ctx context.Context, k session.Key) (session.Turn, error) {
	t, err := f.Store.Turn(ctx, k)
	if f.fault == "others are not counted" {
		t.Others = 0
	}
	return t, err
}

func (f *faulty) Get(ctx context.Context, follower string) (session.Session, error) {
	if f.fault == "looking is activity" {
		o, err := f.Open(ctx, session.Key{Follower: follower, ID: "look"})
		return o.Session, err
	}
	return f.Store.Get(ctx, follower)
}

func (f *faulty) Show(ctx context.Context, follower string, r session.Receipt) error {
	if f.fault == "receipts are lost" {
		return nil
	}
	err := f.Store.Show(ctx, follower, r)
	if f.fault == "replies show it twice" && errors.Is(err, session.ErrMoved) {
		return nil
	}
	return err
}

func (f *faulty) Unshow(ctx context.Context, k session.Key) error {
	if f.fault == "nothing is taken back" {
		return nil
	}
	return f.Store.Unshow(ctx, k)
}

func (f *faulty) Cancel(ctx context.Context, k session.Key) (session.Turn, bool, error) {
	if f.fault == "cancels each time" {
		f.calls++
		k.ID += strings.Repeat("'", f.calls)
	}
	return f.Store.Cancel(ctx, k)
}

func (f *faulty) Stop(ctx context.Context, k session.Key, push bool) (session.Turn, bool, error) {
	switch f.fault {
	case "stopping is cancelling":
		return f.Store.Cancel(ctx, k)
	case "stops each time":
		f.calls++
		k.ID += strings.Repeat("'", f.calls)
	case "stops are not sent":
		push = false
	}
	return f.Store.Stop(ctx, k, push)
}

func (f *faulty) Clear(ctx context.Context, k session.Key) (string, error) {
	switch f.fault {
	case "clears each time":
		f.calls++
		k.ID += strings.Repeat("'", f.calls)
	case "clearing forgets all":
		return f.Store.Forget(ctx, k.Follower)
	}
	return f.Store.Clear(ctx, k)
}

func (f *faulty) Forget(ctx context.Context, follower string) (string, error) {
	if f.fault == "forgetting is clearing" {
		return f.Store.Clear(ctx, session.Key{Follower: follower, ID: "forget"})
	}
	return f.Store.Forget(ctx, follower)
}

func (f *faulty) TakeHold(ctx context.Context, perMinute int) (bool, error) {
	if f.fault == "holds for all" && perMinute > 0 {
		perMinute = 1_000_000
	}
	return f.Store.TakeHold(ctx, perMinute)
}

func (f *faulty) Pending(ctx context.Context) (session.Pending, error) {
	if f.fault == "nothing is pending" {
		return session.Pending{}, nil
	}
	return f.Store.Pending(ctx)
}

// TestCase runs all cases with the fault that the environment names: none, unless it is a child process.
func TestCase(t *testing.T) {
	h := sessiontest.Harness{
		Open:   func(_ testing.TB, o session.Options) session.Store { return open(os.Getenv(faultEnv), o) },
		Reopen: func(_ testing.TB, s session.Store, _ session.Options) session.Store { return s },
	}
	for _, c := range sessiontest.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { c.Run(t, h) })
		})
	}
}

// A suite that lets a broken store pass is worth nothing: each fault has to fail the case that is about it.
func TestSuiteFindsFaults(t *testing.T) {
	cases := map[string]bool{}
	for _, c := range sessiontest.Cases() {
		cases[c.Name] = true
	}
	for fault, name := range faults {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			if !cases[name] {
				t.Fatalf("there is no case %q", name)
			}
			child := strings.NewReplacer(" ", "_").Replace(name)
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCase$/^"+child+"$")
			cmd.Env = append(os.Environ(), faultEnv+"="+fault)
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Errorf("the case %q has passed", name)
			} else if !strings.Contains(string(out), "--- FAIL: TestCase/"+child) {
				t.Errorf("the case %q has not failed but ended with %v:\n%s", name, err, out)
			}
		})
	}
}
