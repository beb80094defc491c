package account

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/wechat/api"
)

// chores are when this process does what again, while it has the duty.
type chores struct {
	held      bool
	until     time.Time // when the duty ends
	menu      time.Time // when to look at it
	callbacks time.Time // likewise
	refusal   refusal   // of the menu

	addresses []netip.Prefix // that WeChat pushes from
}

// doChores does what is due, until ctx ends with the duty.
func (a *Account) doChores(ctx context.Context, s *Settings, note string) {
	a.mu.Lock()
	due, now := a.chores, time.Now()
	a.mu.Unlock()
	if !now.Before(due.menu) {
		next := a.lookAtMenu(ctx, s, note)
		a.again(s, func(c *chores) { c.menu = time.Now().Add(next) })
	}
	if !now.Before(due.callbacks) && ctx.Err() == nil {
		next := a.refreshCallbacks(ctx, s.Client)
		a.again(s, func(c *chores) { c.callbacks = time.Now().Add(next) })
	}
}

// again notes when something is due again, unless the settings have changed meanwhile: then it is due now.
func (a *Account) again(s *Settings, note func(*chores)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.settings.Load() == s {
		note(&a.chores)
	}
}

// refreshCallbacks asks for the addresses that WeChat pushes from, and says in the log when there are others: a firewall may
// let only the known ones in.
func (a *Account) refreshCallbacks(ctx context.Context, client *api.Client) (next time.Duration) {
	now, err := client.CallbackAddresses(ctx)
	if err != nil {
		return soon
	}
	a.mu.Lock()
	before := a.chores.addresses
	a.chores.addresses = now
	a.mu.Unlock()
	added, gone := without(now, before), without(before, now)
	if before != nil && len(added)+len(gone) > 0 {
		a.options.Log.Warn("WeChat pushes from other addresses than before: adapt what lets only these in", "added", added, "gone", gone)
	}
	return callbacksEvery
}

func without(all, some []netip.Prefix) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(all), func(p netip.Prefix) bool { return slices.Contains(some, p) })
}
