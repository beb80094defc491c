package server

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/server/account"
	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/server/wechat"
	"github.com/wechatbot/wechatbot-operator/server/wechat/api"
)

// wechatSwitch is the client of WeChat's API of the configuration that is in force. AppID and AppSecret change in place,
// another address is another client's.
type wechatSwitch struct {
	credentials atomic.Pointer[credentials]
	client      *api.Client // nil if there is no AppSecret
	baseURL     string      // the client's
	observe     func(api.Attempt)
	transport   http.RoundTripper // nil but in tests
}

type credentials struct{ appID, secret string }

// configure puts a client in force, and returns the one before if that is another one.
func (w *wechatSwitch) configure(f files) (before *api.Client, err error) {
	secret, before := f.secrets.AppSecret.Reveal(), w.client
	w.credentials.Store(&credentials{f.config.WeChat.AppID, secret})
	switch {
	case secret == "":
		w.client = nil
		return before, nil
	case before != nil && w.baseURL == f.config.WeChat.APIBaseURL:
		return nil, nil
	}
	client, err := api.New(api.Options{
		BaseURL: f.config.WeChat.APIBaseURL, Transport: w.transport, UserAgent: "wechatbot-server", Observe: w.observe,
		Credentials: func() (string, string) {
			c := w.credentials.Load()
			return c.appID, c.secret
		},
	})
	if err != nil {
		return nil, fmt.Errorf("wechat.apiBaseURL: %w", err)
	}
	w.client, w.baseURL = client, f.config.WeChat.APIBaseURL
	return before, nil
}

func (w *wechatSwitch) close() {
	if w.client != nil {
		w.client.Close()
	}
}

// newAccount makes what looks after the account.
func (s *Server) newAccount(f files) error {
	s.account = account.New(account.Options{
		Duty: s.store, Metrics: account.NewMetrics(s.registry), Log: s.options.Log,
	}, account.Settings{})
	s.wechat.observe = s.account.Observe
	return s.configureAccount(f)
}

func (s *Server) configureAccount(f files) error {
	before, err := s.wechat.configure(f)
	if err != nil {
		return err
	}
	s.account.Configure(account.Settings{
		Client: s.wechat.client, AppID: f.config.WeChat.AppID,
		Menu: menuButtons(f.config.Menu), Enforce: f.config.MenuPolicy == serverconfig.MenuEnforce,
	})
	if before != nil {
		before.Close()
	}
	return nil
}

// menuKey is what a click on an item pushes; empty if the follower's client does all itself. It stays the same while the
// item does the same, wherever it stands and whatever its name is: clients show an old menu for some minutes.
func menuKey(i serverconfig.MenuItem) string {
	of := func(kind, text string) string {
		sum := sha256.Sum256([]byte(kind + "\n" + text))
		return kind + ":" + hex.EncodeToString(sum[:12])
	}
	switch {
	case i.Command != "":
		return i.Command
	case i.Question != "":
		return of("question", i.Question)
	case i.Reply != "":
		return of("reply", i.Reply)
	case i.Handover:
		return "handover"
	default:
		return ""
	}
}

// menuButtons are what is published.
func menuButtons(menu []serverconfig.MenuButton) []api.Button {
	var buttons []api.Button
	for _, b := range menu {
		if len(b.Items) == 0 {
			buttons = append(buttons, button(b.MenuItem))
			continue
		}
		group := api.Button{Name: b.Name}
		for _, i := range b.Items {
			group.Items = append(group.Items, button(i))
		}
		buttons = append(buttons, group)
	}
	return buttons
}

func button(i serverconfig.MenuItem) api.Button {
	switch {
	case i.URL != "":
		return api.Button{Name: i.Name, Type: api.ViewButton, URL: i.URL}
	case i.MiniProgram != nil:
		m := i.MiniProgram
		return api.Button{Name: i.Name, Type: api.MiniProgramButton, URL: m.URL, AppID: m.AppID, PagePath: m.Path}
	default:
		return api.Button{Name: i.Name, Type: api.ClickButton, Key: menuKey(i)}
	}
}

// menuItems are what the engine acts on.
func menuItems(menu []serverconfig.MenuButton) []turn.MenuItem {
	var items []turn.MenuItem
	for _, b := range menu {
		for _, i := range append([]serverconfig.MenuItem{b.MenuItem}, b.Items...) {
			if i.Does() {
				items = append(items, turn.MenuItem{
					Key: menuKey(i), Name: i.Name, Link: menuLink(i), Question: i.Question, Reply: i.Reply, Command: i.Command,
					Handover: i.Handover,
				})
			}
		}
	}
	return items
}

// menuLink is how an item stands in a text.
func menuLink(i serverconfig.MenuItem) string {
	switch {
	case i.URL != "":
		return wechat.Link(i.Name, i.URL)
	case i.MiniProgram != nil:
		return wechat.MiniProgramLink(i.Name, i.MiniProgram.AppID, i.MiniProgram.Path, i.MiniProgram.URL)
	default:
		return wechat.TapLink(i.Name, i.Name, menuID)
	}
}
