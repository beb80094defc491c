//go:build chaos

package chaos

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/test/crowd"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

const (
	takeover = 15 * time.Second // what the promise gives another process to take a dead one's turn over
	mend     = 6 * time.Second  // after the store is back, until every process has noticed: a probe's period and some
	settling = time.Second      // what is on its way when something happens
	// unwritten is how much of what Redis has confirmed it may lose when it is killed: with appendfsync everysec it writes
	// nothing to its file while the file is being synced, for two seconds at most.
	unwritten = 2 * time.Second
	leaseTTL  = 10 * time.Second // after which a dead process's turns are free
)

// verdict is what a run has shown.
type verdict struct {
	*crowd.Verdict
	toasts                 map[excuse]int
	calls, crashed, cutOff int
	doomed                 int      // takeovers by processes that were killed before they asked Dify
	found                  int      // answers that Dify made without the process that had asked, not asked for again
	extra                  []string // Dify calls that nothing excuses
	takeovers              []time.Duration
	late                   []string // takeovers beyond the promise
	leaks                  []string
	broken                 []string      // rules of WeChat's
	unrecorded             int           // shown or sent again, as Redis may have lost the record of the first time
	lastRefusal            time.Duration // after the store was back
}

// judge looks at what the followers and Dify have seen.
func (w *world) judge(t *testing.T) *verdict {
	t.Helper()
	v := &verdict{Verdict: w.crowd.Judge(), calls: w.dify.CallCount(), toasts: map[excuse]int{}}
	calls, others := w.crowd.Calls(w.dify.Calls())
	if len(others) > 0 {
		v.Wrongs = append(v.Wrongs, fmt.Sprintf("Dify was asked %d times what no follower has asked", len(others)))
	}
	for _, f := range v.Failures {
		if n := w.ownersLost(f.Question.Asked, f.At); n < session.MaxAttempts {
			v.Wrongs = append(v.Wrongs, fmt.Sprintf("%s %s was given up after %d owners were lost", f.At.Format(crowd.Clock), f.Question.ID, n))
		}
	}
	for _, a := range w.crowd.Askers {
		w.judgeExchanges(v, a)
		for _, q := range a.Questions {
			w.judgeCalls(v, q, calls[q])
		}
	}
	v.leaks = w.leaks(t)
	w.excuseTwice(v)
	for rule, n := range w.platform.Violations() {
		if rule == wechatsim.SentAgain {
			if n -= w.lostSends(v, w.platform.SentAgainSince()); n == 0 {
				continue
			}
		}
		v.broken = append(v.broken, fmt.Sprintf("%s: %d times", rule, n))
	}
	return v
}

// lostRecord tells whether Redis may have lost the record of what was shown or sent in a time: it was killed just then.
func (w *world) lostRecord(first, last time.Time) bool {
	return slices.ContainsFunc(w.storeKills, func(at time.Time) bool {
		return !first.Before(at.Add(-unwritten)) && !last.After(at.Add(settling))
	})
}

// excuseTwice takes back what was shown twice as the record of the first time may be lost.
func (w *world) excuseTwice(v *verdict) {
	for _, t := range v.Twice {
		if i := slices.Index(v.Wrongs, t.Wrong); i >= 0 && w.lostRecord(t.First, t.Last) {
			v.Wrongs = slices.Delete(v.Wrongs, i, i+1)
			v.unrecorded++
		}
	}
}

// lostSends counts the sends made again whose first record may be lost, by when the first was made.
func (w *world) lostSends(v *verdict, since []time.Time) (n int) {
	for _, at := range since {
		if w.lostRecord(at, at) {
			n++
		}
	}
	v.unrecorded += n
	return n
}

// ownersLost counts the replicas that were killed in a time, or cut off from the store for so long that their turns were
// taken over.
func (w *world) ownersLost(from, to time.Time) (n int) {
	for _, r := range w.replicas {
		for _, l := range r.all() {
			if at := l.killedAt(); at.After(from) && at.Before(to) {
				n++
			}
		}
	}
	for _, c := range w.cuts {
		if c.to.Sub(c.from) > takeover/2 && c.overlaps(from, to) {
			n++
		}
	}
	return n
}

// judgeExchanges looks for toasts and refusals that no outage excuses.
func (w *world) judgeExchanges(v *verdict, a *crowd.Asker) {
	for _, x := range a.Exchanges {
		if !x.Toast {
			continue
		}
		why := w.excuse(x)
		v.toasts[why]++
		if why == nobody {
			v.Wrongs = append(v.Wrongs, fmt.Sprintf("%s follower %d saw a fault toast: %s", x.Start.Format(crowd.Clock), a.Number, crowd.Deliveries(x)))
		}
	}
	for _, r := range a.Refusals {
		for _, o := range w.outages {
			if o.overlaps(r.From, r.From) || r.From.After(o.to) && r.From.Before(o.to.Add(mend)) {
				v.lastRefusal = max(v.lastRefusal, r.From.Sub(o.to))
			}
		}
		if !within(w.windows(mend), r.From, r.To) {
			v.Wrongs = append(v.Wrongs, fmt.Sprintf("%s %s was refused", r.From.Format(crowd.Clock), r.Question.ID))
		}
	}
}

// windows are the times in which a replica could not reach the store, all of them or one, each with a margin.
func (w *world) windows(margin time.Duration) []window {
	var all []window
	for _, o := range w.outages {
		all = append(all, o.longer(margin))
	}
	for _, c := range w.cuts {
		all = append(all, c.longer(margin))
	}
	return all
}

// excuse is why a follower saw a fault toast.
type excuse string

const (
	nobody  excuse = "without a reason"
	byKill  excuse = "the process that worked on the last delivery was killed"
	unready excuse = "no replica was ready"
	noStore excuse = "the store was away"
)

// excuse tells what took the chance of the last delivery. Those before may have been left to time out on purpose.
func (w *world) excuse(x *wechatsim.Exchange) excuse {
	if len(x.Deliveries) == 0 {
		return nobody
	}
	d := x.Deliveries[len(x.Deliveries)-1]
	end := d.Start.Add(d.Took)
	switch {
	case w.front.brokenByKill(d.Start, end):
		return byKill
	case w.front.unservedWithin(d.Start, end):
		return unready
	case within(w.outages, d.Start, end):
		return noStore
	}
	return nobody
}

// judgeCalls counts Dify's calls for a question. Each turn has one; a further one needs a call before it whose owner
// was killed, or cut off from the store.
func (w *world) judgeCalls(v *verdict, q *crowd.Question, calls []difysim.Call) {
	slices.SortFunc(calls, func(a, b difysim.Call) int { return a.Started.Compare(b.Started) })
	excused := 0
	for i, c := range calls {
		why, at := w.crash(c)
		if why == "" {
			continue
		}
		if i == len(calls)-1 {
			if why == killed && c.Ended.After(at) && q.Whole {
				v.found++
			}
			continue
		}
		next := calls[i+1]
		if next.Started.Before(at) {
			continue // it is no consequence
		}
		if slices.ContainsFunc(q.AskedAgain, func(t time.Time) bool { return t.After(at) && t.Before(next.Started) }) {
			continue // the turn was given up, and the next call is another turn's
		}
		if why == killed && w.mode == difysim.Chatflow && at.Sub(c.Started) > settling && !within(w.windows(mend), c.Started, at) {
			continue // its run has outlived the process, which had time to note it: it was there to be found
		}
		excused++
		switch why {
		case killed:
			v.crashed++
			from := at
			if w.mode == difysim.Chatflow && c.Ended.After(from) {
				from = c.Ended // its run went on without it, and was awaited
			}
			took := next.Started.Sub(from) - shared(w.outages, from, next.Started)
			v.takeovers = append(v.takeovers, took)
			switch {
			case took <= takeover+settling:
			case w.doomed(at, next.Started):
				v.doomed++
			default:
				v.late = append(v.late, fmt.Sprintf("%s: %v after its owner was killed at %s: %s", q.ID, took, at.Format(crowd.Clock), w.timeline(calls)))
			}
		case cutAway:
			v.cutOff++
		}
	}
	if most := q.Turns() + excused; len(calls) > most {
		v.extra = append(v.extra, fmt.Sprintf("%s: %d calls for %d turns: %s%s", q.ID, len(calls), q.Turns(), w.timeline(calls), q.Story()))
	}
	if q.Accepted && !q.Refused && len(calls) == 0 {
		v.Lost = append(v.Lost, q.ID+": Dify was never asked")
	}
}

func (w *world) timeline(calls []difysim.Call) string {
	var all []string
	for _, c := range calls {
		during := ""
		if within(w.outages, c.Started, c.Ended.Add(mend)) {
			during = ", the store was away"
		}
		all = append(all, fmt.Sprintf("[%s to %s by %v, %s, client gone %v%s]",
			c.Started.Format(crowd.Clock), c.Ended.Format(crowd.Clock), c.Inputs["replica"], c.Outcome, c.ClientGone, during))
	}
	return strings.Join(all, " ")
}

// doomed tells whether a takeover that took so long was the second one: the first was by a process that was killed before
// it had asked Dify, so that it took another lease's time.
func (w *world) doomed(killed, asked time.Time) bool {
	latest := asked.Add(-leaseTTL)
	earliest := latest.Add(-shared(w.outages, killed, asked)) // a lease that ran out in an outage is claimed after it
	for _, r := range w.replicas {
		for _, l := range r.all() {
			at := l.killedAt()
			if at.After(killed) && at.After(earliest.Add(-settling/2)) && at.Before(latest.Add(settling)) {
				return true
			}
		}
	}
	return false
}

type reason string

const (
	killed  reason = "killed"
	cutAway reason = "cut off"
)

// crash tells whether the owner of a call could not bring its turn to an end, and since when.
func (w *world) crash(c difysim.Call) (reason, time.Time) {
	text, _ := c.Inputs["replica"].(string)
	number, err := strconv.Atoi(text)
	if err != nil || number >= len(w.replicas) {
		return "", time.Time{}
	}
	end := c.Ended.Add(settling) // the answer has to be stored yet
	for _, o := range w.windows(mend) {
		if o.overlaps(c.Ended, c.Ended) && o.to.After(end) {
			end = o.to
		}
	}
	for _, l := range w.replicas[number].all() {
		if at := l.killedAt(); at.After(c.Started) && at.Before(end) {
			return killed, at
		}
	}
	for _, o := range w.cuts {
		if o.replica == number && o.to.Sub(o.from) > takeover/2 && o.longer(mend).overlaps(c.Started, c.Ended) {
			return cutAway, o.from
		}
	}
	return "", time.Time{}
}

// leaks looks for what no log may hold: questions, answers, openids, secrets.
func (w *world) leaks(t *testing.T) (leaks []string) {
	t.Helper()
	forbidden := map[string]string{
		"订单": "a question", "回答的第": "an answer", token: "the token", aesKey: "the EncodingAESKey", difyKey: "Dify's key",
		redisPassword: "Redis' password", appSecret: "the AppSecret",
	}
	for _, a := range w.crowd.Askers {
		forbidden[a.Follower.OpenID()] = "an openid"
	}
	files, err := filepath.Glob(filepath.Join(w.logs, "server-*.log"))
	if err != nil || len(files) != len(w.replicas) {
		t.Fatalf("%d logs of %d servers: %v", len(files), len(w.replicas), err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for text, what := range forbidden {
			if bytes.Contains(content, []byte(text)) {
				leaks = append(leaks, filepath.Base(file)+" holds "+what)
			}
		}
		for _, bad := range []string{"panic", "DATA RACE", "fatal error"} {
			if bytes.Contains(content, []byte(bad)) {
				leaks = append(leaks, filepath.Base(file)+" says "+bad)
			}
		}
	}
	return leaks
}

// check fails the test for every promise that was broken.
func (v *verdict) check(t *testing.T) {
	t.Helper()
	for what, all := range map[string][]string{
		"questions that were accepted and not answered":        v.Lost,
		"things that nobody may be shown":                      v.Wrongs,
		"Dify calls outside crashed turns":                     v.extra,
		fmt.Sprintf("takeovers that took over %v", takeover):   v.late,
		"logs that hold what they must not, or say of a fault": v.leaks,
		"rules of WeChat's API broken":                         v.broken,
	} {
		if len(all) > 0 {
			t.Errorf("%d %s:\n  %s", len(all), what, strings.Join(all[:min(len(all), 20)], "\n  "))
		}
	}
	if v.Answered == 0 {
		t.Error("nothing was answered")
	}
}

// table shows a run in numbers.
func (w *world) table(v *verdict) string {
	var b strings.Builder
	row := func(name string, value any) { fmt.Fprintf(&b, "| %-52s | %v |\n", name, value) }
	fmt.Fprintf(&b, "\n| %-52s | CHAOS_SEED=%d |\n|---|---|\n", w.name+", "+w.mode.String(), w.seed)
	for _, a := range append([]act{kill, roll, killStore, hangStore, cutOff, blackHole, hangUp}, weChats...) {
		if w.acts[a] > 0 {
			row(string(a), w.acts[a])
		}
	}
	row("followers", len(w.crowd.Askers))
	row("questions", v.Questions)
	row("- answered to the end", v.Answered)
	row("- broken off by Dify, and asking again did not help", v.CutShort)
	row("- refused with a line, as the store was away", v.Refused)
	row("- not taken: a fault toast", v.Untaken)
	row("- accepted and LOST", len(v.Lost))
	row("- the last of them after the store was back", v.lastRefusal.Round(time.Millisecond))
	row("refused, and answered all the same", v.Ghosts)
	row("things shown that must not be", len(v.Wrongs))
	row("shown or sent again, as Redis may have lost the record", v.unrecorded)
	row(fmt.Sprintf("given up after %d owners' deaths, and asked again", session.MaxAttempts), len(v.Failures))
	row("answers that Dify broke off, and the follower was told", v.Broken)
	for _, why := range []excuse{byKill, unready, noStore, nobody} {
		row("fault toasts: "+string(why), v.toasts[why])
	}
	row("Dify calls", v.calls)
	row("- again, because the owner was killed", v.crashed)
	row("- of them by a second newOwner, the first was killed at once", v.doomed)
	row("- after whose owner's death Dify's answer was found", v.found)
	row("- again, because the owner was cut off the store", v.cutOff)
	row("- again WITHOUT need", len(v.extra))
	row("takeover after a kill, p50 / p99 / most", crowd.Percentiles(v.takeovers))
	row("whole answer after the question, p50 / p99 / most", crowd.Percentiles(v.Answers))
	if w.official != "" {
		calls, codes := w.platform.Calls(wechatsim.SendPath)
		row("sends / of them taken by WeChat, and answered so", fmt.Sprintf("%d / %d", calls, codes[0]))
		row("messages that came by themselves", v.Messages)
		row("rules of WeChat's broken", len(v.broken))
	}
	row("bytes shown more than once", v.Again)
	row("deliveries / of them failed", fmt.Sprintf("%d / %v", w.platform.Stats().Deliveries, w.platform.Stats().Failures))
	return b.String()
}
