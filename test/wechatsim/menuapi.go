package wechatsim

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"
)

// Paths of the calls about the menu, for Order and Calls.
const (
	CreateMenuPath = "/cgi-bin/menu/create"
	SelfMenuPath   = "/cgi-bin/get_current_selfmenu_info"
	getMenuPath    = "/cgi-bin/menu/get"
	deleteMenuPath = "/cgi-bin/menu/delete"
)

// Button is a button of the menu, or an item of one.
type Button struct {
	Name     string   `json:"name"`
	Type     string   `json:"type,omitempty"`
	Key      string   `json:"key,omitempty"`
	URL      string   `json:"url,omitempty"`
	AppID    string   `json:"appid,omitempty"`
	PagePath string   `json:"pagepath,omitempty"`
	MediaID  string   `json:"media_id,omitempty"`
	Article  string   `json:"article_id,omitempty"`
	Value    string   `json:"value,omitempty"` // of one that was made in the console
	Items    []Button `json:"sub_button,omitempty"`
}

// menuState is the account's menu. The server's lock guards it.
type menuState struct {
	buttons []Button
	byAPI   bool // made by the API, not in the console
	off     bool
}

// Menu is the account's menu, and whether the API made it.
func (p *Platform) Menu() (buttons []Button, byAPI bool) {
	p.server.mu.Lock()
	defer p.server.mu.Unlock()
	return slices.Clone(p.server.shownMenu()), p.server.menu.byAPI
}

// shownMenu is what followers see: an account that is not verified and has a server has no menu, the console's neither. The lock is held.
func (s *server) shownMenu() []Button {
	if !s.kind.verified() {
		return nil
	}
	return s.menu.buttons
}

// SetConsoleMenu makes the menu by hand, in the console; nil takes it away.
func (p *Platform) SetConsoleMenu(buttons []Button) {
	p.server.mu.Lock()
	defer p.server.mu.Unlock()
	p.server.menu = menuState{buttons: buttons, off: buttons == nil}
}

// menuPull is how old a client's copy of the menu may be.
const menuPull = 5 * time.Minute

// Menu is the menu that the follower's client shows: it fetches it when the chat is opened and its copy is more than five minutes old.
func (f *Follower) Menu() []Button {
	s := f.platform.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); f.contact.pulled.IsZero() || now.Sub(f.contact.pulled) > menuPull {
		f.contact.menu, f.contact.pulled = s.shownMenu(), now
	}
	return slices.Clone(f.contact.menu)
}

// ErrNoButton is the error of tapping a button that is not there, or does nothing by itself.
var ErrNoButton = errors.New("the menu has no such button")

// TapMenu taps a button of the menu by its name, and an item of one: what the account is told of it is as with Click and View.
func (f *Follower) TapMenu(ctx context.Context, names ...string) (*Exchange, error) {
	buttons := f.Menu()
	for n, name := range names {
		i := slices.IndexFunc(buttons, func(b Button) bool { return b.Name == name })
		if i < 0 {
			return nil, ErrNoButton
		}
		if n < len(names)-1 {
			buttons = buttons[i].Items
			continue
		}
		switch b := buttons[i]; b.Type {
		case "click":
			return f.Click(ctx, b.Key)
		case "view":
			return f.View(ctx, b.URL)
		case "miniprogram":
			return f.exchange(ctx, f.event("view_miniprogram", field{name: "EventKey", value: b.PagePath}, field{name: "MenuId", value: "400001", number: true}))
		}
	}
	return nil, ErrNoButton
}

// menuLimits are the bounds of one level, with the errcode of each.
type menuLimits struct {
	count                                      int
	name, key, url                             int
	badCount, badType, badName, badKey, badURL int
	badScheme                                  int
}

var (
	buttonLimits = menuLimits{3, 16, 128, 1024, 40016, 40017, 40018, 40019, 40020, 40055}
	itemLimits   = menuLimits{5, 60, 128, 1024, 40023, 40024, 40025, 40026, 40027, 40054}
)

func (s *server) createMenu(c *call) apiAnswer {
	var ask struct {
		Buttons []Button `json:"button"`
	}
	if json.Unmarshal(c.body, &ask) != nil {
		s.broke(BadBody)
		return refuse(47001)
	}
	if code := checkButtons(ask.Buttons, buttonLimits, true); code != 0 {
		s.broke(BadMenu)
		return refuse(code)
	}
	s.menu = menuState{buttons: ask.Buttons, byAPI: true}
	return apiAnswer{}
}

// checkButtons gives the errcode of the first thing that is wrong with a level of a menu.
func checkButtons(buttons []Button, l menuLimits, top bool) int {
	if len(buttons) == 0 || len(buttons) > l.count {
		return l.badCount
	}
	for _, b := range buttons {
		if b.Name == "" || len(b.Name) > l.name {
			return l.badName
		}
		if len(b.Items) > 0 {
			switch {
			case !top:
				return 40022
			case b.Type != "":
				return l.badType
			}
			if code := checkButtons(b.Items, itemLimits, false); code != 0 {
				return code
			}
			continue
		}
		if code := checkAction(b, l); code != 0 {
			return code
		}
	}
	return 0
}

func checkAction(b Button, l menuLimits) int {
	switch b.Type {
	case "click", "scancode_push", "scancode_waitmsg", "pic_sysphoto", "pic_photo_or_album", "pic_weixin", "location_select":
		if b.Key == "" || len(b.Key) > l.key {
			return l.badKey
		}
	case "view", "miniprogram":
		switch {
		case b.URL == "" || len(b.URL) > l.url:
			return l.badURL
		case !strings.HasPrefix(b.URL, "http://") && !strings.HasPrefix(b.URL, "https://"):
			return l.badScheme
		case b.Type == "miniprogram" && (b.AppID == "" || b.PagePath == ""):
			return 65308
		}
	case "media_id", "view_limited":
		if b.MediaID == "" {
			return 40007
		}
	case "article_id", "article_view_limited":
		if b.Article == "" {
			return 53600
		}
	case "":
		return 65308
	default:
		return l.badType
	}
	return 0
}

func (s *server) deleteMenu(*call) apiAnswer {
	s.menu = menuState{off: true}
	return apiAnswer{}
}

// getMenu gives what the API made, with empty items where there are none, as the page's sample has them.
func (s *server) getMenu(*call) apiAnswer {
	if !s.menu.byAPI {
		return refuse(46003)
	}
	var shape func(buttons []Button) []map[string]any
	shape = func(buttons []Button) []map[string]any {
		list := make([]map[string]any, 0, len(buttons))
		for _, b := range buttons {
			m := members(b)
			m["sub_button"] = shape(b.Items)
			list = append(list, m)
		}
		return list
	}
	return apiAnswer{value: map[string]any{"menu": map[string]any{"button": shape(s.menu.buttons), "menuid": 208396938}}}
}

// selfMenu gives what followers see, whoever made it: items are a level deeper here.
func (s *server) selfMenu(*call) apiAnswer {
	open := 1
	if s.menu.off || len(s.shownMenu()) == 0 {
		open = 0
	}
	list := []map[string]any{}
	for _, b := range s.shownMenu() {
		m := members(b)
		if len(b.Items) > 0 {
			items := []map[string]any{}
			for _, item := range b.Items {
				items = append(items, members(item))
			}
			m["sub_button"] = map[string]any{"list": items}
		}
		list = append(list, m)
	}
	return apiAnswer{value: map[string]any{"is_menu_open": open, "selfmenu_info": map[string]any{"button": list}}}
}

// members are a button's own, without items.
func members(b Button) map[string]any {
	m := map[string]any{"name": b.Name}
	for name, value := range map[string]string{
		"type": b.Type, "key": b.Key, "url": b.URL, "appid": b.AppID, "pagepath": b.PagePath, "media_id": b.MediaID, "article_id": b.Article, "value": b.Value,
	} {
		if value != "" {
			m[name] = value
		}
	}
	return m
}
