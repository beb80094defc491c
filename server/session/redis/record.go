package redis

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session/follower"
)

// The fields of a record's hash. Each turn has one of its own: a step writes what it has changed.
const (
	versionField = "v" // of the record
	openidField  = "o"
	headField    = "h" // JSON of the record but its turns
	leaseField   = "l" // who holds a turn; empty or not there while nobody does
	turnField    = "t" // and a turn's ID: JSON of the turn
)

// kept is a record as it is in Redis. The record is never changed: a step is taken on a copy.
type kept struct {
	version string // "" if there is none
	openid  string
	record  *follower.Record
	head    []byte // JSON of the record but its turns
	known   bool   // Redis has just said so

	keep   time.Duration // for how long it is kept since expiry; 0 if that is not known
	expiry time.Time
}

// decode reads a record's hash.
func decode(fields reply) (kept, error) {
	k := kept{record: &follower.Record{}}
	var turns []follower.Turn
	for i := 0; i+1 < len(fields); i += 2 {
		field, value := fields.text(i), fields.text(i+1)
		var err error
		switch {
		case field == versionField:
			k.version = value
		case field == openidField:
			k.openid = value
		case field == headField:
			k.head = []byte(value)
			err = json.Unmarshal([]byte(value), k.record)
		case field[:1] == turnField:
			var t follower.Turn
			err = json.Unmarshal([]byte(value), &t)
			turns = append(turns, t)
		}
		if err != nil {
			return kept{}, fmt.Errorf("a record in Redis makes no sense: field %.1s: %w", field, err)
		}
	}
	if k.version == "" {
		return kept{record: &follower.Record{}}, nil
	}
	slices.SortFunc(turns, func(a, b follower.Turn) int { return cmp.Compare(a.Accepted, b.Accepted) })
	k.record.Turns = turns
	if err := k.record.Check(); err != nil {
		return kept{}, fmt.Errorf("a record in Redis makes no sense: %w", err)
	}
	return k, nil
}

// changes fills in the fields of the record's hash that a step has changed.
func (c *commitCall) changes(before kept) (err error) {
	after := c.after.record
	head := *after
	head.Turns = nil
	if c.after.head, err = json.Marshal(&head); err != nil {
		return fmt.Errorf("encoding a record: %w", err)
	}
	c.set = append(c.set, versionField, c.version)
	if !bytes.Equal(c.after.head, before.head) {
		c.set = append(c.set, headField, c.after.head)
	}
	switch was, is := before.version != "" && !before.record.Tombstone(), !after.Tombstone(); {
	case is && !was:
		c.set = append(c.set, openidField, c.after.openid)
	case was && !is:
		c.gone = append(c.gone, openidField)
	}
	if was, is := leaseOf(before.record), leaseOf(after); is != was {
		c.set = append(c.set, leaseField, is)
	}
	for i := range after.Turns {
		t := &after.Turns[i]
		if old := before.record.Find(t.ID); old != nil && *old == *t {
			continue
		}
		b, err := json.Marshal(t)
		if err != nil {
			return fmt.Errorf("encoding a turn: %w", err)
		}
		c.set = append(c.set, turnField+t.ID, b)
	}
	for i := range before.record.Turns {
		if id := before.record.Turns[i].ID; after.Find(id) == nil {
			c.gone = append(c.gone, turnField+id)
		}
	}
	return nil
}

// leaseOf is a record's lease as its field has it; "" if nobody holds a turn.
func leaseOf(r *follower.Record) string {
	if r.Lease == nil {
		return ""
	}
	return leaseText(r.Lease.Fence, r.Lease.Holder)
}

// leaseText is a lease as its field has it.
func leaseText(fence int64, holder string) string { return strconv.FormatInt(fence, 10) + " " + holder }

func fenceOf(lease string) int64 {
	fence, _, _ := strings.Cut(lease, " ")
	return number(fence)
}

func holderOf(lease string) string {
	_, holder, _ := strings.Cut(lease, " ")
	return holder
}
