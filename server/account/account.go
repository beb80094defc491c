// Package account is what a bot knows of its Official Account and does for it. It finds out what the account may do, by what
// WeChat's API answers to whoever calls it, and remembers what calls fail with. In the one process that has the account's
// duty it publishes the menu and looks after it, and asks for the addresses that WeChat pushes from.
//
// It knows nothing of followers, turns, HTTP and Kubernetes.
package account

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/wechat/api"
)

const (
	dutyLasts  = time.Minute      // without a sign of its holder
	dutyRenew  = 20 * time.Second // also how often those without it try to get it
	dutyMargin = 5 * time.Second  // before its end nothing is under way any more
	storeTime  = 3 * time.Second  // for one call of the store

	tokenEvery     = time.Minute // of each process: its address may not be on the list though another's is
	menuEvery      = 10 * time.Minute
	soon           = time.Minute    // after a failure
	callbacksEvery = 24 * time.Hour // WeChat asks for it
	lookAgain      = 24 * time.Hour // at what WeChat has refused and no edit of ours can change
)

const tokenAPI = "/cgi-bin/stable_token"

// Duty is what the account needs of the session store.
type Duty interface {
	HoldDuty(ctx context.Context, lasts time.Duration) (session.Duty, error)
	ReleaseDuty(ctx context.Context) error
	NoteDuty(ctx context.Context, note string) error
}

// Options are fixed for the account's lifetime. All are required.
type Options struct {
	Duty    Duty
	Metrics *Metrics
	Log     *slog.Logger
}

// Settings can change while the account is looked after.
type Settings struct {
	// Client calls WeChat. Its Options.Observe is Account.Observe. nil: there is no AppSecret, and nothing is done.
	Client *api.Client
	// AppID is the account's: what is known of another one is forgotten.
	AppID string
	// Menu is to be the account's; none leaves it as it is.
	Menu []api.Button
	// Enforce publishes a menu again that somebody has changed in the console.
	Enforce bool
}

// Account is the Official Account of one bot.
type Account struct {
	options  Options
	settings atomic.Pointer[Settings]

	tokenDue, choresDue chan struct{} // hold a token when the loops have to look at once
	published           atomic.Bool

	mu        sync.Mutex
	known     map[Capability]finding
	failures  failures
	addresses []netip.Addr // newest first
	menu      menuFinding
	chores    chores
}

// New makes an account. Run looks after it.
func New(o Options, s Settings) *Account {
	a := &Account{
		options: o, known: map[Capability]finding{}, failures: newFailures(),
		tokenDue: make(chan struct{}, 1), choresDue: make(chan struct{}, 1),
	}
	a.settings.Store(&s)
	a.show()
	return a
}

// Configure replaces the settings. The menu is looked at again if they differ.
func (a *Account) Configure(s Settings) {
	before := a.settings.Load()
	if before.Client == s.Client && before.AppID == s.AppID && before.Enforce == s.Enforce && hashOf(before.Menu) == hashOf(s.Menu) {
		return
	}
	a.settings.Store(&s)
	a.mu.Lock()
	if before.AppID != s.AppID {
		a.known, a.failures, a.addresses, a.menu = map[Capability]finding{}, newFailures(), nil, menuFinding{}
	}
	a.chores = chores{held: a.chores.held, until: a.chores.until, addresses: a.chores.addresses}
	a.mu.Unlock()
	a.show()
	for _, due := range []chan struct{}{a.tokenDue, a.choresDue} {
		select {
		case due <- struct{}{}:
		default:
		}
	}
}

// Client gives the client of WeChat's API in force; nil if there is no AppSecret.
func (a *Account) Client() *api.Client { return a.settings.Load().Client }

// Menu gives the menu that is to be the account's.
func (a *Account) Menu() []api.Button { return a.settings.Load().Menu }

// Run looks after the account until ctx ends, and gives the duty up then.
func (a *Account) Run(ctx context.Context) {
	var loops sync.WaitGroup
	loops.Go(func() { repeat(ctx, tokenEvery, a.tokenDue, a.checkToken) })
	loops.Go(func() { repeat(ctx, dutyRenew, a.choresDue, a.doDuty) })
	loops.Wait()
	a.releaseDuty(ctx)
}

// repeat does something now, when it is due, and every so often, until ctx ends.
func repeat(ctx context.Context, every time.Duration, due <-chan struct{}, do func(context.Context)) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		do(ctx)
		select {
		case <-tick.C:
		case <-due:
		case <-ctx.Done():
			return
		}
	}
}

// checkToken sees that the AppSecret is right and this process' address is listed. What comes of it is observed.
func (a *Account) checkToken(ctx context.Context) {
	client := a.Client()
	if client == nil || client.CheckToken(ctx) != nil {
		return
	}
	a.mu.Lock()
	a.failures.remove(tokenAPI) // also when there is one of these credentials from before
	a.mu.Unlock()
	a.lookAtRefused(ctx, client)
}

// doDuty takes or renews the account's duty, and does what is due.
func (a *Account) doDuty(ctx context.Context) {
	s := a.settings.Load()
	if s.Client == nil {
		a.releaseDuty(ctx)
		return
	}
	asked, cancel := context.WithTimeout(ctx, storeTime)
	duty, err := a.options.Duty.HoldDuty(asked, dutyLasts)
	cancel()
	if err != nil {
		a.options.Log.Debug("The account's duty could not be asked for", "error", err)
		a.expire()
		return
	}
	a.published.Store(duty.Note != "")
	a.hold(duty.Until)
	if duty.Until.IsZero() {
		return
	}
	bounded, cancel := context.WithDeadline(ctx, duty.Until.Add(-dutyMargin))
	defer cancel()
	a.doChores(bounded, s, duty.Note)
}

// hold notes until when this process has the duty; zero if it has not. Who gets it begins with all chores.
func (a *Account) hold(until time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	held := !until.IsZero()
	if held != a.chores.held {
		a.chores = chores{held: held}
	}
	a.chores.until = until
	if !held {
		a.menu = menuFinding{} // another process knows
		a.showMenu(a.menu)
	}
	a.options.Metrics.duty.Set(one(held))
}

// expire notes that the duty has ended, if it has: its end passed while the store could not be asked.
func (a *Account) expire() {
	a.mu.Lock()
	over := a.chores.held && !time.Now().Before(a.chores.until)
	a.mu.Unlock()
	if over {
		a.hold(time.Time{})
	}
}

// releaseDuty gives the duty up if this process has it, also when its time is over.
func (a *Account) releaseDuty(ctx context.Context) {
	a.mu.Lock()
	held := a.chores.held
	a.mu.Unlock()
	if !held {
		return
	}
	a.hold(time.Time{})
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTime)
	defer cancel()
	if err := a.options.Duty.ReleaseDuty(ctx); err != nil && !errors.Is(err, session.ErrClosed) {
		a.options.Log.Warn("The account's duty could not be given up: another replica has it when it ends", "error", err)
	}
}
