package memory

import (
	"container/heap"
	"container/list"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/session/follower"
)

// entry is a follower's record and its texts, and where the entry is in Records.
type entry struct {
	follower.Record
	openid string
	texts  map[string]*follower.Texts // by turn
	weight int64

	list  *list.List    // idle, busy or buried
	place *list.Element // in it; nil while the entry is in none
	goes  time.Time     // of a tombstone

	heapAt int           // index in Records.ready, -1 when not in it
	since  follower.Time // while in it: since when its next turn waits
	order  uint64        // while in it: the later of two that wait since the same time has the larger one

	lease   *list.Element // in Records.leases; nil while no turn is held
	fence   int64         // of the lease
	expires time.Time
}

// front returns the first entry of a list, nil if it is empty.
func front(l *list.List) *entry { return entryAt(l.Front()) }

func entryAt(at *list.Element) *entry {
	if at == nil {
		return nil
	}
	e, _ := at.Value.(*entry) // nothing else is in there
	return e
}

func (e *entry) set(t follower.Text) {
	texts := e.texts[t.Turn]
	if texts == nil {
		if e.texts == nil {
			e.texts = make(map[string]*follower.Texts)
		}
		texts = new(follower.Texts)
		e.texts[t.Turn] = texts
	}
	*texts.Of(t.Kind) = t.Value
}

// weigh books what the entry has grown or shrunk by.
func (r *Records) weigh(e *entry) {
	w := e.Weight() + int64(len(e.openid))
	r.bytes += w - e.weight
	e.weight = w
}

// place puts the entry into the list where it belongs, and forgets it if nothing is left of it. It goes to the back if
// it has been active: followers with work to do are in no order, as they do not go.
func (r *Records) place(e *entry, now time.Time) {
	l := &r.idle
	switch {
	case e.Tombstone() && len(e.Messages) == 0:
		r.remove(e)
		return
	case e.Tombstone():
		l = &r.buried
	case e.Busy():
		l = &r.busy
	}
	switch {
	case e.list == l && (l != &r.idle || e.Active < follower.At(now)):
	case e.list == l:
		l.MoveToBack(e.place)
	default:
		if e.place == nil {
			r.entries[e.openid] = e
			r.copied.join(e)
		} else {
			e.list.Remove(e.place)
		}
		e.list, e.place = l, l.PushBack(e)
		e.goes = now.Add(session.Dedupe)
	}
	r.copied.changed(e.openid)
}

// remove forgets an entry.
func (r *Records) remove(e *entry) {
	if e.place == nil {
		r.bytes -= e.weight
		return
	}
	e.list.Remove(e.place)
	e.place = nil
	delete(r.entries, e.openid)
	r.copied.part(e)
	r.bytes -= e.weight
	r.unlease(e)
	r.unready(e)
}

// index puts the entry where candidates are found, and wakes who waits for one.
func (r *Records) index(e *entry, now time.Time) {
	if l := e.Lease; l == nil {
		r.unlease(e)
	} else if e.lease == nil || e.fence != l.Fence {
		r.unlease(e)
		e.fence, e.expires = l.Fence, now.Add(r.rules.LeaseTTL)
		e.lease = r.leases.PushBack(e)
		if r.leases.Len() == 1 { // whoever waits for a candidate has no lease's end to wait for yet
			r.wake()
		}
	}
	since, ok := e.Ready()
	switch {
	case !ok || e.place == nil:
		r.unready(e)
	case e.heapAt < 0:
		r.orders++
		e.since, e.order = since, r.orders
		heap.Push(&r.ready, e)
		r.wake()
	case e.since != since:
		e.since = since
		heap.Fix(&r.ready, e.heapAt)
	}
}

func (r *Records) unlease(e *entry) {
	if e.lease == nil {
		return
	}
	r.leases.Remove(e.lease)
	e.lease = nil
	r.wake() // there is a place
}

func (r *Records) unready(e *entry) {
	if e.heapAt >= 0 {
		heap.Remove(&r.ready, e.heapAt)
	}
}

// ready are the entries whose next turn anybody may claim, as a heap: the one that has waited longest on top.
type ready []*entry

func (r *ready) Len() int { return len(*r) }

func (r *ready) Less(i, j int) bool {
	a, b := (*r)[i], (*r)[j]
	if a.since != b.since {
		return a.since < b.since
	}
	return a.order < b.order
}

func (r *ready) Swap(i, j int) {
	a := *r
	a[i], a[j] = a[j], a[i]
	a[i].heapAt, a[j].heapAt = i, j
}

func (r *ready) Push(x any) {
	e, _ := x.(*entry) // nothing else is pushed
	e.heapAt = len(*r)
	*r = append(*r, e)
}

func (r *ready) Pop() any {
	last := len(*r) - 1
	e := (*r)[last]
	(*r)[last] = nil
	*r = (*r)[:last]
	e.heapAt = -1
	return e
}

// weight is what everything takes that is kept.
func (r *Records) weight() int64 { return r.bytes + r.used.bytes }

// fit forgets until the records keep to their bytes: first sessions without work to do, then tombstones, then what is
// over of the others, delivered turns first.
func (r *Records) fit(now time.Time) {
	for e := front(&r.idle); e != nil && r.weight() > r.maxBytes; e = front(&r.idle) {
		r.step(e, now, r.rules, func(st *follower.Step) { st.Forget() })
	}
	for e := front(&r.buried); e != nil && r.weight() > r.maxBytes; e = front(&r.buried) {
		r.remove(e)
	}
	if r.weight() > r.maxBytes {
		r.shed(now, func(*entry) bool { return true }, r.maxBytes-r.used.bytes)
	}
}

// shed forgets turns that are over, of entries with work to do, until the records weigh no more than target, and counts
// them.
func (r *Records) shed(now time.Time, of func(*entry) bool, target int64) (turns int) {
	for _, delivered := range []bool{true, false} {
		for at := r.busy.Front(); at != nil; at = at.Next() {
			e := entryAt(at)
			for of(e) && r.bytes > target {
				var gone bool
				r.step(e, now, r.rules, func(st *follower.Step) { gone = st.Shed(delivered) })
				if !gone {
					break
				}
				turns++
			}
		}
	}
	return turns
}
