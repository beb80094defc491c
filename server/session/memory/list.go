package memory

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"strconv"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// List returns a page of sessions: in the order of hashes that mean nothing outside this process, so that a page can go on
// behind another one whatever comes and goes. It looks at each entry and keeps a page of them. See session.Store.
func (p *Port) List(_ context.Context, from string, about int) (session.Page, error) {
	var after uint64
	if from != "" {
		n, err := strconv.ParseUint(from, 16, 64)
		if err != nil {
			return session.Page{}, fmt.Errorf("%w: %q", session.ErrNoPage, from)
		}
		after = n
	}
	p.enter()
	defer p.mu.Unlock()
	var first listed // of those behind
	more := false
	for openid, e := range p.entries {
		at := maphash.String(p.order, openid)
		switch {
		case e.Tombstone() || from != "" && at <= after:
		case len(first) < about:
			heap.Push(&first, place{at, e})
		case at < first[0].at:
			first[0], more = place{at, e}, true
			heap.Fix(&first, 0)
		default:
			more = true
		}
	}
	slices.SortFunc(first, func(a, b place) int { return cmp.Compare(a.at, b.at) })
	var page session.Page
	for _, at := range first {
		page.Sessions = append(page.Sessions, at.entry.Listed(at.entry.openid))
	}
	if more {
		page.Next = strconv.FormatUint(first[len(first)-1].at, 16)
	}
	return page, nil
}

// place is an entry and where it is in lists.
type place struct {
	at    uint64
	entry *entry
}

// listed is a heap, the last one on top.
type listed []place

func (l *listed) Len() int           { return len(*l) }
func (l *listed) Less(i, j int) bool { return (*l)[i].at > (*l)[j].at }
func (l *listed) Swap(i, j int)      { (*l)[i], (*l)[j] = (*l)[j], (*l)[i] }

func (l *listed) Push(x any) {
	at, _ := x.(place) // nothing else is pushed
	*l = append(*l, at)
}

func (l *listed) Pop() any {
	last := len(*l) - 1
	at := (*l)[last]
	*l = (*l)[:last]
	return at
}
