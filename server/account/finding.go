package account

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/wechatbot/wechatbot-operator/api/serverstatus"
	"github.com/wechatbot/wechatbot-operator/server/wechat/api"
)

// Capability is something that only some kinds of accounts may do.
type Capability string

// The capabilities.
const (
	CustomerService Capability = "customerService" // messages outside replies, typing
	Media           Capability = "media"           // files up and down
	Menu            Capability = "menu"
	Handover        Capability = "handover" // to an agent
)

var capabilities = []Capability{CustomerService, Media, Menu, Handover}

// capabilityOf is what an account needs for a call; "" if every account may make it.
func capabilityOf(path string) Capability {
	for prefix, c := range map[string]Capability{
		"/cgi-bin/message/custom/": CustomerService, "/cgi-bin/media/": Media, "/cgi-bin/menu/": Menu,
		"/cgi-bin/customservice/": Handover, "/customservice/": Handover,
	} {
		if strings.HasPrefix(path, prefix) {
			return c
		}
	}
	return ""
}

// finding is what is known of a capability, since when; the zero value if nothing is.
type finding struct {
	state serverstatus.Capability
	since time.Time
}

// Can says whether the account may do something, as far as it is known.
func (a *Account) Can(c Capability) serverstatus.Capability {
	a.mu.Lock()
	defer a.mu.Unlock()
	return cmp.Or(a.known[c].state, serverstatus.Unknown)
}

const (
	maxFailures  = 32
	maxAddresses = 16
	failureKept  = 24 * time.Hour
	logAgain     = time.Hour // the same failure of the same call
)

// failure is how calls have failed, last at a time.
type failure struct {
	serverstatus.CallError

	at time.Time
}

// failures are those since the same call went well last, the newest first.
type failures struct {
	list   []failure
	logged map[serverstatus.CallError]time.Time
}

func newFailures() failures { return failures{logged: map[serverstatus.CallError]time.Time{}} }

// add notes a failure, and tells whether it is to be logged.
func (f *failures) add(e serverstatus.CallError, now time.Time) (log bool) {
	f.list = slices.DeleteFunc(f.list, func(old failure) bool { return old.CallError == e || now.Sub(old.at) > failureKept })
	f.list = slices.Insert(f.list, 0, failure{e, now})
	f.list = f.list[:min(len(f.list), maxFailures)]
	if last, ok := f.logged[e]; ok && now.Sub(last) < logAgain {
		return false
	}
	f.logged[e] = now
	return true
}

func (f *failures) remove(path string) {
	f.list = slices.DeleteFunc(f.list, func(old failure) bool { return old.API == path })
}

// Observe is told of each call, for api.Options.
func (a *Account) Observe(c api.Attempt) {
	a.options.Metrics.called(c)
	if c.Kind == api.Canceled {
		return
	}
	now := time.Now()
	a.mu.Lock()
	log := a.note(c, now)
	a.mu.Unlock()
	a.show()
	if log {
		a.options.Log.Warn("WeChat's API did not do what it was asked for", "error", c.Err, "kind", string(c.Kind), "errcode", c.Code)
	}
}

// note notes what a call says of the account, and tells whether it is to be logged. The lock is held.
func (a *Account) note(c api.Attempt, now time.Time) (log bool) {
	if state, ok := entitled(c); ok {
		if kind := capabilityOf(c.API); kind != "" && (a.known[kind].state != state || state == serverstatus.No) {
			a.known[kind] = finding{state, now}
		}
	}
	if c.Err != nil && c.Err.Address.IsValid() {
		seen := c.Err.Address
		a.addresses = slices.DeleteFunc(a.addresses, func(old netip.Addr) bool { return old == seen })
		a.addresses = slices.Insert(a.addresses, 0, seen)
		a.addresses = a.addresses[:min(len(a.addresses), maxAddresses)]
	}
	switch c.Kind {
	case "":
		a.failures.remove(c.API)
	case api.NoRecentExchange, api.AlreadyTyping, api.NoMenu: // nothing is wrong
	default:
		return a.failures.add(serverstatus.CallError{API: c.API, Errcode: c.Code}, now)
	}
	return false
}

// entitled says what a call's end shows of the right to make it; ok is false if nothing.
func entitled(c api.Attempt) (state serverstatus.Capability, ok bool) {
	const otherKindOfAccount = 40200 // of one message type or call, such as msgmenu on a test account
	switch c.Kind {
	case api.NotEntitled:
		return serverstatus.No, c.Code != otherKindOfAccount
	case "", api.WindowClosed, api.CountUsedUp, api.NotReceiving, api.ContentRefused, api.TooLarge, api.NoRecentExchange,
		api.AlreadyTyping, api.MediaGone, api.MediaRefused, api.MenuRefused, api.NoMenu, api.AgentsUnavailable, api.NoAgent:
		return serverstatus.Yes, true // WeChat looks at the right first
	default:
		return "", false
	}
}

// lookAtRefused looks again, a day later, at what this account might not do: it may have been verified since. What costs
// followers nothing is asked for; if the account may do that, the rest is unknown again.
func (a *Account) lookAtRefused(ctx context.Context, client *api.Client) {
	refused := a.refusedLongAgo()
	if len(refused) == 0 {
		return
	}
	if slices.Contains(refused, Menu) {
		_, _, _ = client.Menu(ctx) // Observe notes what comes of it
	}
	if len(refused) > 1 || refused[0] != Menu {
		_, _ = client.OnlineAgents(ctx) // likewise
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	verified := a.known[Menu].state == serverstatus.Yes || a.known[Handover].state == serverstatus.Yes
	for _, c := range refused {
		switch f := a.known[c]; {
		case f.state != serverstatus.No:
		case verified:
			delete(a.known, c)
		default:
			a.known[c] = finding{f.state, time.Now()}
		}
	}
}

func (a *Account) refusedLongAgo() []Capability {
	a.mu.Lock()
	defer a.mu.Unlock()
	var refused []Capability
	for _, c := range capabilities {
		if f := a.known[c]; f.state == serverstatus.No && time.Since(f.since) >= lookAgain {
			refused = append(refused, c)
		}
	}
	return refused
}

// Status is what is known of the account; nil if there is no AppSecret.
func (a *Account) Status() *serverstatus.Account {
	if a.Client() == nil {
		return nil
	}
	s := &serverstatus.Account{
		Capabilities: serverstatus.Capabilities{
			CustomerService: a.Can(CustomerService), Media: a.Can(Media), Menu: a.Can(Menu), Handover: a.Can(Handover),
		},
		LastErrors: []serverstatus.CallError{}, Addresses: []string{},
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, f := range a.failures.list {
		if time.Since(f.at) <= failureKept {
			s.LastErrors = append(s.LastErrors, f.CallError)
		}
	}
	for _, address := range a.addresses {
		s.Addresses = append(s.Addresses, address.String())
	}
	if a.menu.state != "" && time.Now().Before(a.chores.until) {
		s.Menu = &serverstatus.Menu{State: a.menu.state, Errcode: a.menu.code}
	}
	return s
}
