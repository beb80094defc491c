package redis

import (
	"container/list"
	"sync"

	"github.com/wechatbot/wechatbot-operator/server/session/follower"
)

// cacheBytes bounds the records that this process remembers: those of some thousand followers.
const cacheBytes = 8 << 20

// cache remembers the records that this process has seen last. What is in it may be old: a step that was taken on it is
// kept only if Redis has the same version.
type cache struct {
	mu    sync.Mutex
	by    map[string]*list.Element
	order list.List // of *cached, the least lately used in front
	bytes int64
}

type cached struct {
	member string
	kept   kept
	weight int64
}

// get returns what is remembered of a record: nothing is as good a guess as any.
func (c *cache) get(member string) kept {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.by[member]
	if at == nil {
		return kept{record: &follower.Record{}}
	}
	c.order.MoveToBack(at)
	one, _ := at.Value.(*cached) // nothing else is in there
	k := one.kept
	k.known = false // it may be old
	return k
}

func (c *cache) put(member string, k kept) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(member)
	one := &cached{member, k, k.record.WeightWithoutTexts()}
	if c.by == nil {
		c.by = make(map[string]*list.Element)
	}
	c.by[member] = c.order.PushBack(one)
	c.bytes += one.weight
	for c.bytes > cacheBytes {
		oldest, _ := c.order.Front().Value.(*cached)
		c.remove(oldest.member)
	}
}

func (c *cache) drop(member string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(member)
}

func (c *cache) remove(member string) {
	if at := c.by[member]; at != nil {
		one, _ := at.Value.(*cached)
		c.bytes -= one.weight
		c.order.Remove(at)
		delete(c.by, member)
	}
}
