//go:build chaos

package chaos

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/test/crowd"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

// act is what is done to the bot or its surroundings.
type act string

const (
	kill      act = "kill -9 of a replica"
	roll      act = "a replica told to stop, its successor started at once"
	killStore act = "kill -9 of the session store"
	hangStore act = "the session store stopped by a signal"
	cutOff    act = "a replica cut off the store: connections reset and refused"
	blackHole act = "a replica cut off the store: packets vanish"
	hangUp    act = "a replica's connections to the store reset, once"

	loseAnswers act = "WeChat's answers to sends lost, the messages shown"
	loseSends   act = "sends lost with WeChat's answers to them"
	blurAnswers act = "sends answered with status 500, the messages shown"
)

// weChats are the acts of WeChat's own API.
var weChats = []act{loseAnswers, loseSends, blurAnswers}

// fault is one act of a schedule.
type fault struct {
	at      time.Duration // since the start
	act     act
	replica int
	lasts   time.Duration // until it is healed; 0 if there is nothing to heal
}

func (f fault) String() string {
	s := fmt.Sprintf("%6.1f s  %s", f.at.Seconds(), f.act)
	if f.act != killStore && f.act != hangStore && !slices.Contains(weChats, f.act) {
		s += fmt.Sprintf(" (%d)", f.replica)
	}
	if f.lasts > 0 {
		s += fmt.Sprintf(", for %.1f s", f.lasts.Seconds())
	}
	return s
}

// seed is that of CHAOS_SEED, or a new one.
func seed(t testing.TB) uint64 {
	t.Helper()
	return number(t, "CHAOS_SEED", rand.Uint64N(1_000_000))
}

// number is what a variable says, or else what is usual.
func number(t testing.TB, variable string, usual uint64) uint64 {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return usual
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// scheduleRand is the source of a schedule's randomness: one of its own, so that what a follower does changes nothing for it.
func scheduleRand(seed uint64) *rand.Rand {
	const stream = 1 << 63 // the followers' are small numbers
	return rand.New(rand.NewPCG(seed, stream))
}

// apps are what Dify has for the two tests: by turns one whose runs outlive the server that asked for them, and one that
// loses them.
func apps(seed uint64) (redis, configMap difysim.Mode) {
	if seed%2 == 0 {
		return difysim.Chat, difysim.Chatflow
	}
	return difysim.Chatflow, difysim.Chat
}

const (
	replicas  = 3 // that share a Redis
	killEvery = 5 * time.Second
)

// up to is a random time below d.
func upTo(r *rand.Rand, d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d))) }

// newPlan is how Dify answers one question.
func newPlan(r *rand.Rand) crowd.Plan {
	p := crowd.Plan{
		FirstText: 200*time.Millisecond + upTo(r, 2*time.Second),
		Sentences: 2 + r.IntN(10),
	}
	p.Total = p.FirstText + 500*time.Millisecond + upTo(r, 6*time.Second)
	if r.IntN(8) == 0 { // longer than a lease
		p.Total += leaseTTL - upTo(r, 2*time.Second)
	}
	if r.IntN(8) == 0 {
		p.Sentences = 40 + r.IntN(40) // more than a page
	}
	if r.IntN(12) == 0 {
		p.CutAfter = 3 + r.IntN(4)
	}
	return p
}

// redisSchedule is two minutes of faults for replicas that share a Redis. The replica that is cut off is not killed
// meanwhile: it is to learn for itself that others have taken its turns.
func redisSchedule(r *rand.Rand) []fault {
	cut := fault{at: 76*time.Second + upTo(r, 4*time.Second), act: cutOff, replica: r.IntN(replicas), lasts: 20 * time.Second}
	if r.IntN(2) == 0 {
		cut.act = blackHole
	}
	faults := []fault{
		{at: 16*time.Second + upTo(r, 4*time.Second), act: hangUp, replica: r.IntN(replicas)},
		{at: 30*time.Second + upTo(r, 5*time.Second), act: killStore, lasts: time.Second + upTo(r, 2*time.Second)},
		{at: 50*time.Second + upTo(r, 5*time.Second), act: hangStore, lasts: 10 * time.Second},
		cut,
	}
	for at := killEvery; at <= 105*time.Second; at += killEvery {
		k := fault{at: at + upTo(r, time.Second), act: kill, replica: r.IntN(replicas)}
		if k.replica == cut.replica && k.at > cut.at-time.Second && k.at < cut.at+cut.lasts+time.Second {
			k.replica = (k.replica + 1 + r.IntN(replicas-1)) % replicas
		}
		faults = append(faults, k)
	}
	for i := range replicas { // an upgrade
		faults = append(faults, fault{at: 110*time.Second + time.Duration(i)*4*time.Second, act: roll, replica: i})
	}
	return sorted(faults)
}

// pushSchedule is two and a half minutes of faults for replicas that share a Redis and push answers: what makes it doubtful whether a
// message was sent, again and again.
func pushSchedule(r *rand.Rand) []fault {
	const end = 140 * time.Second
	faults := []fault{
		{at: 30*time.Second + upTo(r, 5*time.Second), act: killStore, lasts: time.Second + upTo(r, 2*time.Second)},
		{at: 60*time.Second + upTo(r, 5*time.Second), act: hangUp, replica: r.IntN(replicas)},
		{at: 90*time.Second + upTo(r, 5*time.Second), act: killStore, lasts: time.Second + upTo(r, 2*time.Second)},
	}
	for at := killEvery; at <= end; at += killEvery {
		faults = append(faults,
			fault{at: at + upTo(r, time.Second), act: kill, replica: r.IntN(replicas)},
			fault{at: at + upTo(r, killEvery), act: weChats[r.IntN(len(weChats))], lasts: 200*time.Millisecond + upTo(r, time.Second)})
	}
	for i := range replicas { // an upgrade
		faults = append(faults, fault{at: end + time.Duration(1+4*i)*time.Second, act: roll, replica: i})
	}
	return sorted(faults)
}

// configMapSchedule is a minute of faults for the one replica that keeps its sessions in ConfigMaps.
func configMapSchedule(r *rand.Rand) []fault {
	faults := []fault{
		{at: 8*time.Second + upTo(r, 4*time.Second), act: kill},
		{at: 24*time.Second + upTo(r, 4*time.Second), act: killStore, lasts: 3*time.Second + upTo(r, 3*time.Second)},
		{at: 42*time.Second + upTo(r, 4*time.Second), act: kill},
	}
	return sorted(faults)
}

func sorted(faults []fault) []fault {
	slices.SortStableFunc(faults, func(a, b fault) int { return cmp.Compare(a.at, b.at) })
	return faults
}

func describe(faults []fault) string {
	var b strings.Builder
	for _, f := range faults {
		b.WriteString(f.String() + "\n")
	}
	return b.String()
}

// window is a time in which something was not there.
type window struct{ from, to time.Time }

func (w window) overlaps(from, to time.Time) bool { return !w.from.After(to) && !w.to.Before(from) }

// longer is the window with a margin behind it.
func (w window) longer(d time.Duration) window { return window{w.from, w.to.Add(d)} }

func within(windows []window, from, to time.Time) bool {
	return slices.ContainsFunc(windows, func(w window) bool { return w.overlaps(from, to) })
}

// shared is how much of the time from … to lies in the windows, which do not overlap each other.
func shared(windows []window, from, to time.Time) time.Duration {
	var sum time.Duration
	for _, w := range windows {
		begin, end := from, to
		if w.from.After(begin) {
			begin = w.from
		}
		if w.to.Before(end) {
			end = w.to
		}
		sum += max(end.Sub(begin), 0)
	}
	return sum
}

// The same seed gives the same schedule, another seed another one, and both have every act.
func TestSchedule(t *testing.T) {
	one, again, other := redisSchedule(scheduleRand(7)), redisSchedule(scheduleRand(7)), redisSchedule(scheduleRand(8))
	if !slices.Equal(one, again) {
		t.Errorf("one seed, two schedules:\n%s\n%s", describe(one), describe(again))
	}
	if slices.Equal(one, other) {
		t.Error("two seeds, one schedule")
	}
	for s := range uint64(200) {
		pushes := map[act]int{}
		for _, f := range pushSchedule(scheduleRand(s)) {
			pushes[f.act]++
		}
		if pushes[kill] != 28 || pushes[loseAnswers]+pushes[loseSends]+pushes[blurAnswers] != 28 || pushes[killStore] != 2 || pushes[roll] != 3 {
			t.Fatalf("seed %d, pushes: %v", s, pushes)
		}
		faults := redisSchedule(scheduleRand(s))
		acts := map[act]int{}
		for i, f := range faults {
			acts[f.act]++
			if f.replica < 0 || f.replica > 2 || i > 0 && f.at < faults[i-1].at {
				t.Fatalf("seed %d: impossible:\n%s", s, describe(faults))
			}
		}
		if acts[kill] != 21 || acts[roll] != 3 || acts[killStore] != 1 || acts[hangStore] != 1 || acts[cutOff]+acts[blackHole] != 1 || acts[hangUp] != 1 {
			t.Fatalf("seed %d: %v", s, acts)
		}
	}
}
