package memory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

const partCount = 3

// copied is a parted store whose parts are copied as they change.
type copied struct {
	*Store
	dirty map[int]bool
	parts [partCount][]Record
}

func newCopied(o session.Options, maxBytes int64) *copied {
	c := &copied{dirty: map[int]bool{}}
	c.Store = NewParted(o, maxBytes, Parts{
		Count: partCount, Of: func(follower string) int { return int(follower[len(follower)-1]) % partCount },
		Changed: func(part int) { c.dirty[part] = true },
	})
	return c
}

// copy copies what has changed.
func (c *copied) copy() {
	for part := range c.dirty {
		c.parts[part] = c.Records(part)
	}
	clear(c.dirty)
}

// sorted is all followers of the parts, in one order.
func sorted(parts [partCount][]Record) []Record {
	all := slices.Concat(parts[:]...)
	slices.SortFunc(all, func(a, b Record) int { return strings.Compare(a.Follower, b.Follower) })
	return all
}

// Whatever happens, Changed has named every part that is not as it was copied; a store made of the copy has the same
// in it, and nothing in either comes apart.
func TestCopyIsComplete(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var stop any
		synctest.Test(t, func(*testing.T) {
			defer func() { stop = recover() }() // rapid's way to end, which has to get out of the bubble
			copyIsComplete(r)
		})
		if stop != nil {
			panic(stop)
		}
	})
}

func copyIsComplete(r *rapid.T) {
	ctx := context.Background()
	s := newCopied(options(), rapid.SampledFrom([]int64{3_000, 1 << 30}).Draw(r, "bytes"))
	var leases []*session.Lease
	follower := func() string { return fmt.Sprint("follower", rapid.IntRange(1, 6).Draw(r, "follower")) }
	key := func() session.Key {
		return session.Key{Follower: follower(), ID: strconv.Itoa(rapid.IntRange(1, 20).Draw(r, "id"))}
	}
	text := func() string { return strings.Repeat("字", rapid.IntRange(0, 100).Draw(r, "length")) }
	must := func(err error) {
		if err != nil && !errors.Is(err, session.ErrLeaseLost) {
			r.Fatal(err)
		}
	}
	r.Repeat(map[string]func(*rapid.T){
		"begin": func(*rapid.T) {
			k := key()
			b, err := s.Begin(ctx, session.Question{Key: k, Text: text()}, rapid.SampledFrom([]string{"", "a"}).Draw(r, "owner"), limits)
			must(err)
			if b.Lease != nil {
				leases = append(leases, b.Lease)
			}
			switch rapid.IntRange(0, 4).Draw(r, "then") {
			case 0:
				s.Withdraw(k)
			case 1: // left unsettled
			default:
				s.Settle(k)
			}
		},
		"finish": func(*rapid.T) {
			if len(leases) > 0 {
				l := leases[rapid.IntRange(0, len(leases)-1).Draw(r, "lease")]
				must(s.Finish(ctx, l, session.Outcome{State: session.Answered, Answer: text(), ConversationID: text()}))
			}
		},
		"next": func(*rapid.T) {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			if l, err := s.Next(ctx, "b", limits); err == nil {
				leases = append(leases, l)
			}
		},
		"conversation": func(*rapid.T) {
			if len(leases) > 0 {
				must(s.Progress(ctx, leases[len(leases)-1], session.Progress{ConversationID: text()}))
			}
		},
		"withdraw": func(*rapid.T) { s.Withdraw(key()) },
		"open":     func(*rapid.T) { _, err := s.Open(ctx, key()); must(err) },
		"cancel":   func(*rapid.T) { _, _, err := s.Cancel(ctx, key()); must(err) },
		"clear":    func(*rapid.T) { _, err := s.Clear(ctx, key()); must(err) },
		"forget":   func(*rapid.T) { _, err := s.Forget(ctx, follower()); must(err) },
		"delivered": func(*rapid.T) {
			k := key()
			must(s.Delivered(ctx, k.Follower, session.Receipt{Message: key().ID, Turn: k.ID, To: 1, Told: true}))
		},
		"shrink": func(*rapid.T) { s.Shrink(0, rapid.IntRange(1, partCount).Draw(r, "parts"), 0.5) },
		"revoke": func(*rapid.T) { s.Revoke() },
		"time passes": func(*rapid.T) {
			time.Sleep(rapid.SampledFrom([]time.Duration{time.Millisecond, 40 * time.Second, 61 * time.Minute}).Draw(r, "time")) // in a bubble
		},
		"": func(r *rapid.T) {
			_, err := s.Pending(ctx) // what time does is done by the next call
			must(err)
			s.copy()
			if p := s.problems(); len(p) > 0 {
				r.Fatal(strings.Join(p, "\n"))
			}
			var now [partCount][]Record
			for part := range now {
				now[part] = s.Records(part)
			}
			// What streams in changes nothing by itself.
			if diff := cmp.Diff(sorted(now), sorted(s.parts), cmpopts.IgnoreFields(TurnRecord{}, "Partial")); diff != "" {
				r.Fatalf("changed without a word (-now +copied):\n%s", diff)
			}
			again := newCopied(options(), 1<<30)
			if err := again.Restore(slices.Concat(now[:]...), 1000); err != nil {
				r.Fatal(err)
			}
			if p := again.problems(); len(p) > 0 {
				r.Fatalf("restored: %s", strings.Join(p, "\n"))
			}
			var restored [partCount][]Record
			for part := range restored {
				restored[part] = again.Records(part)
			}
			if diff := cmp.Diff(sorted(now), sorted(restored)); diff != "" {
				r.Fatalf("restored otherwise (-now +restored):\n%s", diff)
			}
		},
	})
}

func TestUnsettledIsNotHandedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newCopied(options(), 1<<30)
		k := session.Key{Follower: "alice", ID: "1"}
		if _, err := s.Begin(t.Context(), session.Question{Key: k}, "", limits); err != nil {
			t.Fatal(err)
		}
		next := make(chan *session.Lease)
		go func() {
			l, err := s.Next(t.Context(), "b", limits)
			if err != nil {
				t.Error(err)
			}
			next <- l
		}()
		synctest.Wait()
		select {
		case l := <-next:
			t.Fatalf("handed out: %+v", l)
		default:
		}
		s.Settle(k)
		if l := <-next; l.Turn.Key != k {
			t.Errorf("handed out: %+v", l)
		}
		s.Withdraw(k) // too late
		if got, err := s.Look(t.Context(), "alice"); err != nil || len(got.Turns) != 1 {
			t.Errorf("a settled turn is withdrawn: %+v, %v", got, err)
		}
	})
}

func TestWithdrawnWasNeverAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newCopied(options(), 1<<30)
		strict := limits
		strict.Questions, strict.Window = 1, time.Hour
		q := session.Question{Key: session.Key{Follower: "alice", ID: "1"}, Text: "question"}
		b, err := s.Begin(t.Context(), q, "a", strict)
		if err != nil || b.Lease == nil {
			t.Fatal(b, err)
		}
		got := make(chan session.Turn)
		go func() {
			turn, err := s.Await(t.Context(), q.Key)
			if err != nil {
				t.Error(err)
			}
			got <- turn
		}()
		synctest.Wait()
		s.Withdraw(q.Key)
		if turn := <-got; turn.State != session.Cancelled {
			t.Errorf("awaited: %+v", turn)
		}
		select {
		case <-b.Lease.Lost:
		default:
			t.Error("its lease is not lost")
		}
		if b, err = s.Begin(t.Context(), q, "a", strict); err != nil || b.Verdict != session.Started || b.Delivery != 2 {
			t.Errorf("begun again: %+v, %v; want it started by its second delivery, within the allowance", b, err)
		}
	})
}

func TestShrinkTakesTheLeastNeeded(t *testing.T) {
	s := newCopied(options(), 1<<30)
	add := func(follower, id string, told, open bool) {
		t.Helper()
		answered(t, s.Store, follower, id, strings.Repeat("x", 1000))
		if told {
			if err := s.Delivered(t.Context(), follower, session.Receipt{Message: id, Turn: id, Told: true}); err != nil {
				t.Fatal(err)
			}
		}
		if open {
			if _, err := s.Begin(t.Context(), session.Question{Key: session.Key{Follower: follower, ID: "open"}}, "", limits); err != nil {
				t.Fatal(err)
			}
		}
	}
	add("silent0", "1", false, false) // '0' is in part 0, as '3'
	add("other1", "1", false, false)
	add("later0", "1", false, false)
	add("busy3", "untold", false, false)
	add("busy3", "told", true, true)
	for _, want := range []struct {
		sessions, turns int
		left            string
	}{
		{1, 0, "later0 busy3 other1"},
		{1, 0, "busy3 other1"},
		{0, 1, "busy3 other1"},
		{0, 1, "busy3 other1"},
		{0, 0, "busy3 other1"},
	} {
		sessions, turns := s.Shrink(0, 1, 0.001)
		if sessions != want.sessions || turns != want.turns {
			t.Fatalf("%d sessions and %d turns are gone, want %+v", sessions, turns, want)
		}
		for _, f := range []string{"silent0", "later0", "busy3", "other1"} {
			if _, there := s.followers[f]; there != strings.Contains(want.left, f) {
				t.Errorf("%s is there: %v, want %s", f, there, want.left)
			}
		}
		if turns == 1 && has(t, s.Store, "busy3", "told") {
			t.Error("an untold turn is gone before a told one")
		}
	}
}
