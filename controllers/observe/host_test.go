package observe

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/wechatbot/wechatbot-operator/server/dify"
)

const oneHost = "http://dify/v1"

func numbered(i int) types.NamespacedName {
	return types.NamespacedName{Namespace: "bots", Name: fmt.Sprintf("bot-%05d", i)}
}

// hostModel says by plain sorting who waits for a host, and who has a turn.
type hostModel struct {
	waiting, turns map[types.NamespacedName]int // since which step
}

func (m *hostModel) longest(most int) []types.NamespacedName {
	var all []types.NamespacedName
	for bot := range m.waiting {
		all = append(all, bot)
	}
	slices.SortFunc(all, func(a, b types.NamespacedName) int { return cmp.Compare(m.waiting[a], m.waiting[b]) })
	return all[:min(len(all), most)]
}

// Whatever bots do, a host has as many turns as it may have at once, and those that have waited longest are next.
func TestHosts_LongestWaitingAreNext(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 1))
		h, m := hosts{}, &hostModel{map[types.NamespacedName]int{}, map[types.NamespacedName]int{}}
		for step := range 400 {
			m.step(t, h, step, random)
			if len(m.waiting)+len(m.turns) == 0 != (len(h) == 0) {
				t.Fatalf("seed %d, step %d: %d wait, %d have a turn, and there are %d hosts", seed, step, len(m.waiting), len(m.turns), len(h))
			}
			if t.Failed() {
				t.Fatalf("seed %d, step %d", seed, step)
			}
		}
	}
}

func (m *hostModel) step(t *testing.T, h hosts, step int, random *rand.Rand) {
	t.Helper()
	bot, at := numbered(random.IntN(20)), time.Unix(int64(step), 0)
	_, waits := m.waiting[bot]
	began, runs := m.turns[bot]
	var next, want []types.NamespacedName
	switch failed := random.IntN(10) == 0; {
	case runs && failed: // the answer of all
		delete(m.turns, bot)
		next, want = h.leave(oneHost, time.Unix(int64(began), 0), Dify{Err: &dify.Error{Kind: dify.ConnectTimeout}}), m.longest(len(m.waiting))
	case runs:
		delete(m.turns, bot)
		next, want = h.leave(oneHost, time.Unix(int64(began), 0), Dify{}), m.longest(probesPerHost)
	case random.IntN(4) == 0:
		delete(m.waiting, bot)
		if next = h.forget(bot, hostOf(oneHost)); waits {
			want = m.longest(probesPerHost)
		}
	default:
		turn, known := h.enter(bot, oneHost, at)
		switch may := len(m.turns) < probesPerHost; {
		case known != nil && waits:
			delete(m.waiting, bot)
		case turn != may || known != nil:
			t.Errorf("%d have a turn, and another gets one: %v, with an answer %v", len(m.turns), turn, known)
		case turn:
			delete(m.waiting, bot)
			m.turns[bot] = step
		case !waits:
			m.waiting[bot] = step
		}
	}
	if !slices.Equal(next, want) {
		t.Errorf("next are %v, want %v", next, want)
	}
}

// BenchmarkHosts_ManyWait has all bots of one host ask once, as they do after a start of the operator.
func BenchmarkHosts_ManyWait(b *testing.B) {
	for _, bots := range []int{1000, 10000} {
		b.Run(strconv.Itoa(bots), func(b *testing.B) {
			for b.Loop() {
				h, now := hosts{}, time.Unix(0, 0)
				queue := make([]types.NamespacedName, 0, bots)
				for i := range bots {
					if turn, _ := h.enter(numbered(i), oneHost, now.Add(time.Duration(i))); turn {
						queue = append(queue, numbered(i))
					}
				}
				for len(queue) > 0 {
					queue = queue[1:]
					for _, next := range h.leave(oneHost, now, Dify{}) {
						if turn, _ := h.enter(next, oneHost, now); turn {
							queue = append(queue, next)
						}
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*bots), "µs/bot")
		})
	}
}
