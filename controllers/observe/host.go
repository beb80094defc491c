package observe

import (
	"container/list"
	"net/url"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// probesPerHost is how many probes of one host run at once: one that hangs holds no more of the workers.
const probesPerHost = 4

// host is one host that apps are asked at.
type host struct {
	running int
	// order is the waiters, those that wait longest first. Of ten thousand bots of one host all wait after a start, so none may
	// be looked for among the others.
	order list.List
	// waiting are the places of bots in order. One that was queued again stays until it has its turn.
	waiting map[types.NamespacedName]*list.Element
	// failed is the latest failure that every bot of the same address would have met.
	failed *hostFailure
}

// waiter is a bot whose probe waits for its turn.
type waiter struct {
	bot   types.NamespacedName
	since time.Time
}

type hostFailure struct {
	baseURL string
	began   time.Time
	dify    Dify
}

// hosts limits the probes of each host. It is not safe for concurrent use.
type hosts map[string]*host

// hostOf returns the host of an address; all that are not a URL are one.
func hostOf(baseURL string) string {
	u, err := url.Parse(strings.TrimSpace(baseURL))
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Host)
}

// enter gives a bot its turn, or notes that it waits for one. What another probe of the same address found out since it
// began to wait is the answer for it too: then it needs no turn.
func (h hosts) enter(bot types.NamespacedName, baseURL string, now time.Time) (turn bool, known *Dify) {
	name := hostOf(baseURL)
	at, ok := h[name]
	if !ok {
		at = &host{waiting: map[types.NamespacedName]*list.Element{}}
		h[name] = at
	}
	place := at.waiting[bot]
	switch {
	case place != nil && at.failed != nil && at.failed.baseURL == baseURL && !at.failed.began.Before(waiterAt(place).since):
		failed := at.failed.dify
		h.remove(bot, name)
		return false, &failed
	case at.running < probesPerHost:
		at.running++
		at.stopWaiting(bot)
		return true, nil
	case place == nil:
		at.waiting[bot] = at.order.PushBack(waiter{bot, now})
	}
	return false, nil
}

func waiterAt(place *list.Element) waiter {
	w, _ := place.Value.(waiter) // nothing else is in there
	return w
}

func (h *host) stopWaiting(bot types.NamespacedName) {
	if place := h.waiting[bot]; place != nil {
		h.order.Remove(place)
		delete(h.waiting, bot)
	}
}

// first are those who wait longest, at most so many.
func (h *host) first(most int) []types.NamespacedName {
	bots := make([]types.NamespacedName, 0, min(most, h.order.Len()))
	for place := h.order.Front(); place != nil && len(bots) < most; place = place.Next() {
		bots = append(bots, waiterAt(place).bot)
	}
	return bots
}

// leave ends a turn that began at the given time, and returns the bots to be queued again: those that waited longest, or
// all if the answer is theirs too.
func (h hosts) leave(baseURL string, began time.Time, found Dify) []types.NamespacedName {
	name := hostOf(baseURL)
	at := h[name]
	at.running--
	if found.ofHost() {
		at.failed = &hostFailure{baseURL, began, found}
		waiting := at.first(at.order.Len())
		h.clean(name)
		return waiting
	}
	at.failed = nil
	return h.next(name)
}

// next returns the bots that have waited longest for a host, as many as may be asked at once.
func (h hosts) next(name string) []types.NamespacedName {
	at, ok := h[name]
	if !ok {
		return nil
	}
	h.clean(name)
	return at.first(probesPerHost)
}

// forget ends a bot's waiting, and returns others to be queued in its stead.
func (h hosts) forget(bot types.NamespacedName, name string) []types.NamespacedName {
	at, ok := h[name]
	if !ok {
		return nil
	}
	if _, waits := at.waiting[bot]; !waits {
		return nil
	}
	h.remove(bot, name)
	return h.next(name)
}

func (h hosts) remove(bot types.NamespacedName, name string) {
	h[name].stopWaiting(bot)
	h.clean(name)
}

// clean drops a host that nobody asks.
func (h hosts) clean(name string) {
	if at := h[name]; at.running == 0 && len(at.waiting) == 0 {
		delete(h, name)
	}
}
