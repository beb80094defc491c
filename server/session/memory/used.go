package memory

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/session/follower"
)

const (
	// maxUsers is how many followers' use is counted on a day. Beyond, the half that has used least is forgotten: they have
	// most left of what they may use.
	maxUsers = 50_000
	// userWeight is about how many bytes one takes beside its name: its share of the map.
	userWeight = 80
)

// used is what was used on a day: by the bot, and by each follower of whom it counts.
type used struct {
	bot   follower.Tally
	each  map[string]follower.Tally
	bytes int64
}

// of is what a follower and the bot have used on the day of a time.
func (u *used) of(openid string, now follower.Time) (bot, one int64) {
	return u.bot.At(now), u.each[openid].At(now)
}

// add counts what a step has used.
func (u *used) add(openid string, now follower.Time, s follower.Spent) {
	if u.bot.Over(now) {
		u.each, u.bytes = nil, 0
	}
	u.bot = u.bot.Add(now, s)
	if s.Each {
		u.set(openid, u.each[openid].Add(now, s))
	}
}

func (u *used) set(openid string, t follower.Tally) {
	if _, known := u.each[openid]; !known {
		if u.each == nil {
			u.each = make(map[string]follower.Tally)
		}
		if len(u.each) >= maxUsers {
			u.halve()
		}
		u.bytes += userWeight + int64(len(openid))
	}
	u.each[openid] = t
}

// halve forgets the half of the followers that has used least.
func (u *used) halve() {
	least := slices.SortedFunc(maps.Keys(u.each), func(a, b string) int { return cmp.Compare(u.each[a].Tokens, u.each[b].Tokens) })
	for _, openid := range least[:len(least)/2] {
		delete(u.each, openid)
		u.bytes -= userWeight + int64(len(openid))
	}
}

// Used tells what the bot has used on its day. See session.Store.
func (p *Port) Used(context.Context) (session.Used, error) {
	now := p.enter()
	defer p.mu.Unlock()
	return usedOf(p.used.bot, now), nil
}

// restore fills in what a follower has used today. The bot has used as much at least as all its followers.
func (u *used) restore(openid string, t follower.Tally, now follower.Time) {
	if t.At(now) == 0 {
		return
	}
	u.set(openid, t)
	if u.bot.Over(now) {
		u.bot = follower.Tally{Until: t.Until}
	}
	u.bot.Tokens += t.Tokens
}

func usedOf(t follower.Tally, now time.Time) session.Used {
	if t.At(follower.At(now)) == 0 {
		return session.Used{}
	}
	return session.Used{Tokens: t.Tokens, Until: t.Until.Time()}
}

// UsedInAll is the bot's tally, to be kept outside the process.
func (r *Records) UsedInAll() follower.Tally {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.used.bot
}

// RestoreUsed fills in the bot's tally as it was kept, if it is of today.
func (r *Records) RestoreUsed(t follower.Tally) {
	now := follower.At(r.enter())
	defer r.mu.Unlock()
	if t.At(now) > r.used.bot.At(now) {
		r.used.bot = t
	}
}
