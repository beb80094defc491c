//go:build chaos

package chaos

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/test/crowd"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// bench is a world without processes: a follower with a question, for the judge to be judged.
func bench(t *testing.T) (*world, *crowd.Question) {
	t.Helper()
	p, err := wechatsim.New(wechatsim.Account{URL: "http://127.0.0.1/", Token: token}, wechatsim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{crowd: crowd.New(p, 1, 0, newPlan), logs: t.TempDir(), replicas: []*replica{{number: 0}, {number: 1}}}
	return w, w.crowd.Askers[0].Think(crowd.Plan{Sentences: 8})
}

// Each Dify call that is one too many is excused by what happened to the owner of the one before, or found.
func TestJudgeCountsCalls(t *testing.T) {
	at := func(s float64) time.Time {
		return time.Unix(1_800_000_000, 0).Add(time.Duration(s * float64(time.Second)))
	}
	call := func(replica string, from, to float64, o difysim.Outcome) difysim.Call {
		return difysim.Call{
			Request: difysim.Request{Inputs: map[string]any{"replica": replica}}, Started: at(from), Ended: at(to), Outcome: o,
		}
	}
	for name, c := range map[string]struct {
		calls   []difysim.Call
		killed  map[int]float64 // replica 0 and 1
		cut     []float64       // replica 0: from, to
		outages []float64       // from, to
		again   float64         // when the follower asked again
		mode    difysim.Mode

		found, crashed, cutOff, doomed, extra, late, lost int
	}{
		"one for one":                        {calls: []difysim.Call{call("0", 0, 5, difysim.Answered)}},
		"none":                               {lost: 1},
		"two for a question asked twice":     {again: 8, calls: []difysim.Call{call("0", 0, 5, difysim.Cut), call("0", 9, 14, difysim.Answered)}},
		"two for one":                        {extra: 1, calls: []difysim.Call{call("0", 0, 5, difysim.Answered), call("1", 1, 6, difysim.Answered)}},
		"two, as the owner was killed":       {crashed: 1, killed: map[int]float64{0: 3}, calls: []difysim.Call{call("0", 0, 3, difysim.Lost), call("1", 12, 15, difysim.Answered)}},
		"two, as another one was killed":     {extra: 1, killed: map[int]float64{1: 3}, calls: []difysim.Call{call("0", 0, 3, difysim.Lost), call("0", 12, 15, difysim.Answered)}},
		"three, as the owner was killed":     {crashed: 1, extra: 1, killed: map[int]float64{0: 3}, calls: []difysim.Call{call("0", 0, 3, difysim.Lost), call("1", 12, 15, difysim.Answered), call("1", 13, 16, difysim.Answered)}},
		"killed before it could store it":    {crashed: 1, killed: map[int]float64{0: 5.1}, calls: []difysim.Call{call("0", 0, 5, difysim.Answered), call("1", 14, 19, difysim.Answered)}},
		"killed long after the answer":       {extra: 1, killed: map[int]float64{0: 9}, calls: []difysim.Call{call("0", 0, 5, difysim.Answered), call("1", 14, 19, difysim.Answered)}},
		"killed while it could not store":    {crashed: 1, killed: map[int]float64{0: 9}, outages: []float64{4, 12}, calls: []difysim.Call{call("0", 0, 5, difysim.Answered), call("1", 24, 29, difysim.Answered)}},
		"a late takeover":                    {crashed: 1, late: 1, killed: map[int]float64{0: 3}, calls: []difysim.Call{call("0", 0, 3, difysim.Lost), call("1", 25, 28, difysim.Answered)}},
		"a late one after an outage":         {crashed: 1, killed: map[int]float64{0: 3}, outages: []float64{4, 14}, calls: []difysim.Call{call("0", 0, 3, difysim.Lost), call("1", 25, 28, difysim.Answered)}},
		"a second new owner":                 {crashed: 1, doomed: 1, killed: map[int]float64{0: 3, 1: 12.2}, calls: []difysim.Call{call("0", 0, 3, difysim.Lost), call("0", 22.1, 28, difysim.Answered)}},
		"found":                              {found: 1, mode: difysim.Chatflow, killed: map[int]float64{0: 3}, calls: []difysim.Call{call("0", 0, 8, difysim.Answered)}},
		"found, and asked again":             {extra: 1, mode: difysim.Chatflow, killed: map[int]float64{0: 3}, calls: []difysim.Call{call("0", 0, 8, difysim.Answered), call("1", 12, 15, difysim.Answered)}},
		"killed before it was noted":         {crashed: 1, mode: difysim.Chatflow, killed: map[int]float64{0: 0.2}, calls: []difysim.Call{call("0", 0, 8, difysim.Answered), call("1", 10, 15, difysim.Answered)}},
		"killed while it was not noted":      {crashed: 1, mode: difysim.Chatflow, outages: []float64{-1, 4}, killed: map[int]float64{0: 3}, calls: []difysim.Call{call("0", 0, 8, difysim.Answered), call("1", 14, 19, difysim.Answered)}},
		"a second newOwner, after an outage": {crashed: 1, doomed: 1, killed: map[int]float64{0: 3, 1: 12.2}, outages: []float64{20, 24}, calls: []difysim.Call{call("0", 0, 3, difysim.Lost), call("0", 24.1, 28, difysim.Answered)}},
		"asked again before the kill":        {again: 4.94, killed: map[int]float64{0: 5}, calls: []difysim.Call{call("0", 0, 4.9, difysim.Cut), call("1", 4.95, 9, difysim.Answered)}},
		"given up, and asked again":          {again: 24, killed: map[int]float64{0: 3}, calls: []difysim.Call{call("0", 0, 3, difysim.Lost), call("1", 25, 28, difysim.Answered)}},
		"cut off":                            {cutOff: 1, cut: []float64{2, 22}, calls: []difysim.Call{call("0", 0, 12, difysim.Lost), call("1", 12, 15, difysim.Answered)}},
		"cut off for a moment":               {extra: 1, cut: []float64{2, 4}, calls: []difysim.Call{call("0", 0, 12, difysim.Lost), call("1", 12, 15, difysim.Answered)}},
		"an outage":                          {extra: 1, outages: []float64{2, 12}, calls: []difysim.Call{call("0", 0, 12, difysim.Lost), call("1", 12, 15, difysim.Answered)}},
	} {
		t.Run(name, func(t *testing.T) {
			w, q := bench(t)
			w.mode = c.mode
			q.Accepted, q.Whole = true, true
			for i, r := range w.replicas {
				l := &life{replica: r}
				if s, ok := c.killed[i]; ok {
					l.killed = at(s)
				}
				r.lives = []*life{l}
			}
			v := &verdict{Verdict: &crowd.Verdict{}}
			if c.again > 0 {
				q.AskedAgain = []time.Time{at(c.again)}
			}
			if c.cut != nil {
				w.cuts = []cut{{window{at(c.cut[0]), at(c.cut[1])}, 0}}
			}
			if c.outages != nil {
				w.outages = []window{{at(c.outages[0]), at(c.outages[1])}}
			}
			w.judgeCalls(v, q, c.calls)
			got := []int{v.found, v.crashed, v.cutOff, v.doomed, len(v.extra), len(v.late), len(v.Lost)}
			if want := []int{c.found, c.crashed, c.cutOff, c.doomed, c.extra, c.late, c.lost}; !slices.Equal(got, want) {
				t.Errorf("found, crashed, cut off, doomed, extra, late, lost: %v, want %v: %+v", got, want, v)
			}
		})
	}
}

// What was shown or sent again is excused only if Redis may have lost every record of the first time.
func TestJudgeExcusesLostRecords(t *testing.T) {
	killed := time.Unix(1_800_000_000, 0)
	at := func(s float64) time.Time { return killed.Add(time.Duration(s * float64(time.Second))) }
	for name, c := range map[string]struct {
		first, last float64 // since Redis was killed
		stopped     bool    // it was only stopped
		excused     bool
	}{
		"just before":                       {first: -0.1, last: -0.1, excused: true},
		"what was on its way":               {first: 0.5, last: 0.5, excused: true},
		"as long as a file may be synced":   {first: -2, last: -2, excused: true},
		"longer":                            {first: -2.1, last: -2.1},
		"after the kill":                    {first: 1.1, last: 1.1},
		"twice, once long before":           {first: -9, last: -0.1},
		"twice, once after the restart":     {first: -0.1, last: 4},
		"a Redis that was stopped keeps it": {first: -0.1, last: -0.1, stopped: true},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := bench(t)
			w.outages = []window{{at(0), at(2)}}
			if !c.stopped {
				w.storeKills = []time.Time{at(0)}
			}
			v := &verdict{Verdict: &crowd.Verdict{
				Wrongs: []string{"another", "twice"}, Twice: []crowd.Twice{{Wrong: "twice", First: at(c.first), Last: at(c.last)}},
			}}
			w.excuseTwice(v)
			if got := !slices.Contains(v.Wrongs, "twice"); got != c.excused || !slices.Contains(v.Wrongs, "another") {
				t.Errorf("excused %v, want %v: %v", got, c.excused, v.Wrongs)
			}
			if c.first == c.last {
				if got := w.lostSends(v, []time.Time{at(c.first)}) == 1; got != c.excused {
					t.Errorf("a send excused %v, want %v", got, c.excused)
				}
			}
		})
	}
}

// Logs are searched for texts, openids and secrets.
func TestJudgeReadsLogs(t *testing.T) {
	w, q := bench(t)
	write := func(lines ...string) {
		for i := range w.replicas {
			writeFile(t, filepath.Join(w.logs, "server-"+string(rune('0'+i))+".log"), strings.Join(lines, "\n"))
		}
	}
	write(`{"level":"info","msg":"Turn finished","follower":"0123456789"}`)
	if leaks := w.leaks(t); len(leaks) > 0 {
		t.Errorf("in clean logs: %v", leaks)
	}
	for _, text := range []string{q.Text(), q.Answer(1), q.Asker.Follower.OpenID(), token, aesKey, difyKey, redisPassword, "panic: boom"} {
		write("clean", "bad: "+text)
		if len(w.leaks(t)) == 0 {
			t.Errorf("%q was not found", text)
		}
	}
}
