package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
)

const (
	createMenuAPI  = "/cgi-bin/menu/create"
	menuAPI        = "/cgi-bin/menu/get"
	deleteMenuAPI  = "/cgi-bin/menu/delete"
	currentMenuAPI = "/cgi-bin/get_current_selfmenu_info"
)

// ButtonType is what a button of the menu does. A menu that was made in the console has others too.
type ButtonType string

// The types of buttons that are published.
const (
	ClickButton       ButtonType = "click"       // pushes a CLICK with the key
	ViewButton        ButtonType = "view"        // opens the URL
	MiniProgramButton ButtonType = "miniprogram" // opens the page; the URL is for old clients
)

// Bounds of a menu, in bytes of UTF-8 (menu). Clients show four Han characters of a button and eight of an item.
const (
	MaxButtons     = 3
	MaxItems       = 5
	MaxButtonBytes = 16
	MaxItemBytes   = 60
	MaxKeyBytes    = 128
	MaxURLBytes    = 1024
)

// Button is a button of the menu, or an item of one. One with Items does nothing itself and has no type.
type Button struct {
	Name     string     `json:"name"`
	Type     ButtonType `json:"type,omitempty"`
	Key      string     `json:"key,omitempty"`
	URL      string     `json:"url,omitempty"`
	AppID    string     `json:"appid,omitempty"`
	PagePath string     `json:"pagepath,omitempty"`
	// Value is what a button does that was made in the console: a text or a media id.
	Value string   `json:"value,omitempty"`
	Items []Button `json:"sub_button,omitempty"`
}

// PublishMenu replaces the account's menu, also one that was made in the console. Clients show it when a chat is opened and their own copy
// is more than five minutes old. A menu that was refused (MenuRefused) leaves the old one.
func (c *Client) PublishMenu(ctx context.Context, buttons []Button) error {
	body := encode(struct {
		Buttons []Button `json:"button"`
	}{buttons})
	_, err := c.call(ctx, &request{api: createMenuAPI, method: http.MethodPost, body: jsonBody(body), tries: idempotentTries})
	return err
}

// DeleteMenu removes the account's menu, the conditional ones too.
func (c *Client) DeleteMenu(ctx context.Context) error {
	_, err := c.call(ctx, &request{api: deleteMenuAPI, method: http.MethodGet, tries: idempotentTries})
	return err
}

// Menu gives the menu that was published by this API, and the number of conditional menus that some followers see in its place; NoMenu is
// the error if there is none. A menu that was made in the console since is only in CurrentMenu.
func (c *Client) Menu(ctx context.Context) (buttons []Button, conditional int, err error) {
	answer, err := c.call(ctx, &request{api: menuAPI, method: http.MethodGet, tries: idempotentTries})
	if err != nil {
		return nil, 0, err
	}
	var read struct {
		Menu *struct {
			Buttons []Button `json:"button"`
		} `json:"menu"`
		Conditional []struct{} `json:"conditionalmenu"`
	}
	if json.Unmarshal(answer, &read) != nil || read.Menu == nil {
		return nil, 0, &Error{API: menuAPI, Kind: BadAnswer, cause: reasonError("there is no menu in it")}
	}
	return read.Menu.Buttons, len(read.Conditional), nil
}

// UnmarshalJSON reads both forms of a button's items: an array in Menu's answer, an object with a list in CurrentMenu's, where buttons
// without items may have an empty one.
func (b *Button) UnmarshalJSON(data []byte) error {
	type plain Button
	read := struct {
		*plain

		Items json.RawMessage `json:"sub_button"`
	}{plain: (*plain)(b)}
	if err := json.Unmarshal(data, &read); err != nil {
		return err //nolint:wrapcheck // the answer's reader makes an error of its own
	}
	if startsObject(read.Items) {
		var object struct {
			List []Button `json:"list"`
		}
		err := json.Unmarshal(read.Items, &object)
		b.Items = object.List
		return err //nolint:wrapcheck // as above
	}
	if len(read.Items) == 0 {
		return nil
	}
	return json.Unmarshal(read.Items, &b.Items) //nolint:wrapcheck // as above
}

// CurrentMenu gives the menu that followers see, whoever made it, or open = false if it is switched off. Every kind of account may ask:
// it is the cheapest way to see that calls work.
func (c *Client) CurrentMenu(ctx context.Context) (buttons []Button, open bool, err error) {
	answer, err := c.call(ctx, &request{api: currentMenuAPI, method: http.MethodGet, tries: idempotentTries})
	if err != nil {
		return nil, false, err
	}
	var read struct {
		Open *int `json:"is_menu_open"`
		Menu struct {
			Buttons []Button `json:"button"`
		} `json:"selfmenu_info"`
	}
	if json.Unmarshal(answer, &read) != nil || read.Open == nil {
		return nil, false, &Error{API: currentMenuAPI, Kind: BadAnswer, cause: reasonError("there is no menu in it")}
	}
	return read.Menu.Buttons, *read.Open != 0, nil
}

// SameMenu says whether two menus look and act the same. What a button's type does not use is not compared; neither are a mini
// program's id and page where one side lacks them, as CurrentMenu is not documented to give them.
func SameMenu(a, b []Button) bool { return slices.EqualFunc(a, b, sameButton) }

func sameButton(a, b Button) bool {
	if a.Name != b.Name {
		return false
	}
	if len(a.Items) > 0 || len(b.Items) > 0 {
		return SameMenu(a.Items, b.Items)
	}
	if a.Type != b.Type {
		return false
	}
	switch a.Type {
	case ClickButton:
		return a.Key == b.Key
	case ViewButton:
		return a.URL == b.URL
	case MiniProgramButton:
		return a.URL == b.URL && sameIfBoth(a.AppID, b.AppID) && sameIfBoth(a.PagePath, b.PagePath)
	default:
		return a.Key == b.Key && a.URL == b.URL && a.Value == b.Value
	}
}

func sameIfBoth(a, b string) bool { return a == b || a == "" || b == "" }
