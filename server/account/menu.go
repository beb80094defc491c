package account

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"github.com/wechatbot/wechatbot-operator/api/serverstatus"
	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/wechat/api"
)

// menuFinding is how the menu is; the zero value if that is not known.
type menuFinding struct {
	state serverstatus.MenuState
	code  int
}

// refusal is a menu that WeChat has refused: it is not published again before a day has passed.
type refusal struct {
	menu  string // its hash
	until time.Time
}

// MenuPublished tells whether followers have a menu that the bot has published. It may be an earlier one.
func (a *Account) MenuPublished() bool { return a.published.Load() }

// lookAtMenu compares the account's menu with what it should be, and publishes it if it may. note is the hash of the menu
// that was last published. It returns when to look again.
func (a *Account) lookAtMenu(ctx context.Context, s *Settings, note string) (next time.Duration) {
	if len(s.Menu) == 0 {
		a.findMenu(menuFinding{})
		return a.noteMenu(ctx, note, "") // a menu that is configured later is published, whatever there was
	}
	hash := hashOf(s.Menu)
	current, open, err := s.Client.CurrentMenu(ctx)
	if err != nil {
		return soon
	}
	switch {
	case open && api.SameMenu(current, s.Menu):
		a.findMenu(menuFinding{state: serverstatus.MenuPublished})
		return a.noteMenu(ctx, note, hash)
	case note == hash && !s.Enforce:
		a.findMenu(menuFinding{state: serverstatus.MenuDrifted})
		return menuEvery
	case a.isRefused(hash):
		return menuEvery
	default:
		return a.publish(ctx, s, note, hash)
	}
}

func hashOf(menu []api.Button) string {
	text, err := json.Marshal(menu)
	if err != nil {
		panic("account: " + err.Error()) // texts always encode
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

func (a *Account) isRefused(hash string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.menu.state == serverstatus.MenuNotEntitled && a.known[Menu].state != serverstatus.No {
		return false // it may by now
	}
	return a.chores.refusal.menu == hash && time.Now().Before(a.chores.refusal.until)
}

// publish publishes the menu.
func (a *Account) publish(ctx context.Context, s *Settings, note, hash string) (next time.Duration) {
	err := s.Client.PublishMenu(ctx, s.Menu)
	e, failed := errors.AsType[*api.Error](err)
	switch {
	case !failed:
		a.options.Log.Info("Published the menu: followers see it within five minutes, when they open the chat anew")
		a.findMenu(menuFinding{state: serverstatus.MenuPublished})
		return a.noteMenu(ctx, note, hash)
	case e.Kind == api.NotEntitled:
		a.findRefused(menuFinding{serverstatus.MenuNotEntitled, e.Code}, hash)
		return a.noteMenu(ctx, note, "") // followers get it as tap-links
	case e.Kind == api.MenuRefused, e.Kind == api.Invalid, e.Kind == api.Refused, e.Kind == api.AccountBlocked:
		a.findRefused(menuFinding{serverstatus.MenuRejected, e.Code}, hash)
		return menuEvery
	default: // it may be taken the next time
		return soon
	}
}

// noteMenu notes the hash of the menu that followers have.
func (a *Account) noteMenu(ctx context.Context, note, hash string) (next time.Duration) {
	if note != hash {
		bounded, cancel := context.WithTimeout(ctx, storeTime)
		defer cancel()
		if err := a.options.Duty.NoteDuty(bounded, hash); err != nil {
			if !errors.Is(err, session.ErrLeaseLost) {
				a.options.Log.Warn("Could not note which menu is published", "error", err)
			}
			return soon
		}
	}
	a.published.Store(hash != "")
	return menuEvery
}

func (a *Account) findRefused(m menuFinding, hash string) {
	a.findMenu(m)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.chores.refusal = refusal{hash, time.Now().Add(lookAgain)}
}

// findMenu notes how the menu is, and says it in the log when that has changed and somebody has to do something.
func (a *Account) findMenu(m menuFinding) {
	a.mu.Lock()
	changed := a.menu != m
	a.menu = m
	a.mu.Unlock()
	a.showMenu(m)
	if !changed {
		return
	}
	log := a.options.Log
	switch m.state {
	case serverstatus.MenuDrifted:
		log.Warn("The menu was changed in WeChat's console: it stays so, unless menuPolicy is Enforce")
	case serverstatus.MenuNotEntitled:
		log.Warn("This account may have no menu by WeChat's API: followers get it as tap-links", "errcode", m.code)
	case serverstatus.MenuRejected:
		log.Error("WeChat refuses the menu: change it", "errcode", m.code)
	case serverstatus.MenuPublished:
	}
}
