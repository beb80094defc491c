package trace_test

import (
	"crypto/sha256"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/wechatbot/wechatbot-operator/server/trace"
)

func name(of string) [32]byte { return sha256.Sum256([]byte(of)) }

// collected keeps what a tracer exports.
type collected struct {
	mu    sync.Mutex
	spans []*trace.Finished
}

func (c *collected) export(s *trace.Finished) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spans = append(c.spans, s)
}

func (c *collected) root() *trace.Finished {
	for _, s := range c.spans {
		if s.Parent == (trace.SpanID{}) {
			return s
		}
	}
	return nil
}

// Whatever begins and ends in which order, a turn that was ended has one root, and the root covers what began before its end.
func TestRoot_CoversItsSpans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c collected
		turn := trace.New(100, c.export).Turn(name("a turn"))
		now := time.Unix(1_800_000_000, 0)
		var open []*trace.Span
		started, ended := 0, false
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 1000).Draw(t, "ms")) * time.Millisecond)
			switch what := rapid.IntRange(0, 4).Draw(t, "what"); {
			case what <= 1 && !ended:
				open = append(open, turn.Start("span", trace.Internal, now))
				started++
			case what == 2 && len(open) > 0 && !ended:
				open = append(open, open[0].Start("child", trace.Client, now))
				started++
			case what == 3 && len(open) > 0: // children end first
				open[len(open)-1].FinishAt(now, "")
				open = open[:len(open)-1]
			case what == 4 && !ended:
				ended = true
				turn.End("turn", now, now, "")
			}
			if root := c.root(); (root != nil) != (ended && len(open) == 0) {
				t.Fatalf("root %v, ended %v, %d spans open", root, ended, len(open))
			}
		}
		for _, s := range slices.Backward(open) {
			s.FinishAt(now, "")
		}
		if !ended {
			turn.End("turn", now, now, "")
		}
		root := c.root()
		if len(c.spans) != started+1 || root == nil {
			t.Fatalf("%d spans were exported, want %d and the root", len(c.spans), started)
		}
		ids := map[trace.SpanID]*trace.Finished{}
		for _, s := range c.spans {
			ids[s.ID] = s
		}
		for _, s := range c.spans {
			if p := ids[s.Parent]; s != root && (p == nil || s.Start.Before(p.Start) || s.End.After(p.End) || s.Trace != root.Trace) {
				t.Errorf("%+v is not within %+v", s, p)
			}
		}
	})
}

// Two processes give one turn one trace, another turn another, and choose the same ones.
func TestTurn_SameInAllProcesses(t *testing.T) {
	a, b := trace.New(30, func(*trace.Finished) {}), trace.New(30, func(*trace.Finished) {})
	chosen, ids := 0, map[string]bool{}
	for i := range 10_000 {
		of := name(strconv.Itoa(i))
		one, other := a.Turn(of), b.Turn(of)
		if one.ID() != other.ID() {
			t.Fatalf("two processes have the traces %q and %q of one turn", one.ID(), other.ID())
		}
		if one != nil {
			chosen++
			ids[one.ID()] = true
		}
	}
	if chosen < 2800 || chosen > 3200 || len(ids) != chosen {
		t.Errorf("of 10,000 turns %d are traced under %d names, want about 3,000", chosen, len(ids))
	}
	if all := trace.New(100, func(*trace.Finished) {}); all.Turn([32]byte{}) == nil {
		t.Error("of all turns one is left out")
	}
}

func TestTraceparent(t *testing.T) {
	of := name("a turn")
	s := trace.New(100, func(*trace.Finished) {}).Turn(of).Start("span", trace.Client, time.Now())
	if want := "00-" + trace.ID(of[:16]).String() + "-" + s.ID.String() + "-01"; s.Traceparent() != want || len(want) != 55 {
		t.Errorf("%q, want %q", s.Traceparent(), want)
	}
}

// A turn that is not traced costs nothing.
func TestNothing_CostsNothing(t *testing.T) {
	var turn *trace.Turn
	if n := testing.AllocsPerRun(100, func() {
		s := turn.Start("span", trace.Internal, time.Time{})
		s.Start("child", trace.Internal, time.Time{}).Finish("")
		s.Event("event")
		s.Finish("")
		turn.End("turn", time.Time{}, time.Time{}, "")
		if turn.ID() != "" || s.Traceparent() != "" {
			t.Error("it has a name")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Turns that others end are not kept for ever.
func TestTracer_ForgetsWhatOthersEnd(t *testing.T) {
	tracer := trace.New(100, func(*trace.Finished) {})
	for i := range 20_000 {
		tracer.Turn(name(strconv.Itoa(i))).Start("span", trace.Server, time.Now()).Finish("")
	}
	if n := tracer.Known(); n > 4096 {
		t.Errorf("%d turns are kept in mind", n)
	}
}
