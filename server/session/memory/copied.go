package memory

import (
	"errors"
	"fmt"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/session/follower"
)

// Copied says how records are kept somewhere else too: in parts, each of which is written as a whole.
type Copied struct {
	Parts   int
	Of      func(openid string) int // 0 to Parts-1, always the same for the same follower
	Changed func(part int)          // something of the part is not what Copy gave before; must not call Records

	members []map[string]*entry
}

// NewCopied makes empty records as New does, of which a copy is kept.
func NewCopied(o session.Options, maxBytes int64, c Copied) *Records {
	r := New(o, maxBytes)
	c.members = make([]map[string]*entry, c.Parts)
	for i := range c.members {
		c.members[i] = make(map[string]*entry)
	}
	r.copied = &c
	return r
}

func (c *Copied) join(e *entry) {
	if c != nil {
		c.members[c.Of(e.openid)][e.openid] = e
	}
}

func (c *Copied) part(e *entry) {
	if c != nil {
		part := c.Of(e.openid)
		delete(c.members[part], e.openid)
		c.Changed(part)
	}
}

func (c *Copied) changed(openid string) {
	if c != nil {
		c.Changed(c.Of(openid))
	}
}

// Copy is a record with its texts, to be kept outside the process. Its JSON is what is kept.
type Copy struct {
	Follower string                    `json:"follower"`
	Record   *follower.Record          `json:"record"`
	Texts    map[string]follower.Texts `json:"texts,omitempty"`
	Used     follower.Tally            `json:"used,omitzero"` // on the day on which it was copied
}

// Copy copies the followers of a part, in no order, but for those of whom nothing is left: who unfollows the bot leaves
// nothing behind.
func (r *Records) Copy(part int) []Copy {
	now := follower.At(r.enter())
	defer r.mu.Unlock()
	members := r.copied.members[part]
	copies := make([]Copy, 0, len(members))
	for openid, e := range members {
		if e.Tombstone() {
			continue
		}
		c := Copy{Follower: openid, Record: e.Clone(), Texts: make(map[string]follower.Texts, len(e.texts))}
		if t := r.used.each[openid]; t.At(now) > 0 {
			c.Used = t
		}
		for id, t := range e.texts {
			c.Texts[id] = *t
		}
		copies = append(copies, c)
	}
	return copies
}

// Restore fills empty records with what was kept. Nobody holds a turn any more. An error leaves the records as they
// are then: it says what makes no sense.
func (r *Records) Restore(copies []Copy) error {
	now := r.enter()
	defer r.mu.Unlock()
	for i := range copies {
		if err := r.restore(&copies[i], now); err != nil {
			return err
		}
	}
	return nil
}

func (r *Records) restore(c *Copy, now time.Time) error {
	switch {
	case c.Follower == "" || c.Record == nil:
		return errors.New("a follower without a name or a record")
	case r.entries[c.Follower] != nil:
		return errors.New("a follower twice")
	}
	if err := c.Record.Check(); err != nil {
		return fmt.Errorf("a record that makes no sense: %w", err)
	}
	e := &entry{openid: c.Follower, Record: *c.Record, heapAt: -1, texts: make(map[string]*follower.Texts, len(c.Texts))}
	for id := range c.Texts {
		e.texts[id] = new(c.Texts[id])
	}
	r.used.restore(c.Follower, c.Used, follower.At(now))
	r.open += e.OpenTurns()
	r.step(e, now, r.rules, func(st *follower.Step) { st.Restore() })
	return nil
}

// Shrink forgets of the parts from first to before end until the share (0 to 1) of their weight is gone: sessions
// without work to do, the least lately active first, then what is over of the others, delivered turns first. It says how
// many sessions and turns it has forgotten.
func (r *Records) Shrink(first, end int, share float64) (sessions, turns int) {
	now := r.enter()
	defer r.mu.Unlock()
	within := func(e *entry) bool { part := r.copied.Of(e.openid); return first <= part && part < end }
	var weight int64
	for _, members := range r.copied.members[first:end] {
		for _, e := range members {
			weight += e.weight
		}
	}
	target := r.bytes - int64(float64(weight)*share)
	for at := r.idle.Front(); at != nil && r.bytes > target; {
		e := entryAt(at)
		at = at.Next()
		if within(e) {
			r.step(e, now, r.rules, func(st *follower.Step) { st.Forget() })
			sessions++
		}
	}
	return sessions, r.shed(now, within, target)
}
