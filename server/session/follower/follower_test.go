package follower

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

const (
	storyLength = 80
	stories     = 13_000 // more than a million steps
)

// The rules do as a slow and obvious model does, whatever is done in whichever order, and however the clock is set.
func TestRulesDoAsTheModel(t *testing.T) {
	var next atomic.Uint64
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for seed := next.Add(1); seed <= stories && !t.Failed(); seed = next.Add(1) {
				if bad := newPlay(seed, "").run(storyLength); bad != "" {
					t.Errorf("story %d: %s\n%s", seed, bad, story(seed))
				}
			}
		})
	}
	all.Wait()
}

// A model that lets broken rules pass is worth nothing.
func TestModelFindsMutants(t *testing.T) {
	for _, mutant := range []string{
		"a clock that was set back is believed",
		"history grows",
		"idle sessions stay",
		"turns have no deadline",
		"what is refused costs",
		"every delivery is a question",
		"attempts are not counted",
		"a lease is no obstacle",
		"late holders are let go on",
		"conversations stay",
		"replies show it twice",
		"nothing is taken back",
		"cancels each time",
		"who was stopped is not told",
		"clearing forgets all",
		"forgetting leaves no tombstone",
		"windows do not count",
		"what may have arrived is sent again",
		"what is being sent is shown too",
		"a lost reply leaves no doubt",
		"what is asked again is shown all the same",
	} {
		t.Run(mutant, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(stories) {
				if newPlay(seed, mutant).run(storyLength) != "" {
					return
				}
			}
			t.Error("not found")
		})
	}
}
