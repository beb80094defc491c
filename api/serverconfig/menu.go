package serverconfig

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// MenuPolicy says what becomes of a menu that somebody has changed in WeChat's console.
type MenuPolicy string

// The policies.
const (
	MenuReport  MenuPolicy = "Report"  // it is reported and stays
	MenuEnforce MenuPolicy = "Enforce" // the configured menu is published again
)

// MenuButton is a button of the account's menu. It has items, or does one thing itself.
type MenuButton struct {
	MenuItem

	// Items open above the button: 1 to MaxMenuItems.
	Items []MenuItem `json:"items,omitempty"`
}

// MenuItem does one thing: exactly one of the fields behind Name is set.
type MenuItem struct {
	// Name is what the follower reads: 1 to MaxButtonBytes bytes for a button, 1 to MaxItemBytes for an item. Of those that
	// do something no two have the same: what is typed, or tapped in a text, is known by its name.
	Name string `json:"name"`
	// URL is opened in WeChat's browser.
	URL string `json:"url,omitempty"`
	// Question is asked as if the follower had typed it.
	Question string `json:"question,omitempty"`
	// Reply is what the bot says, without asking the app.
	Reply string `json:"reply,omitempty"`
	// Command is one of MenuCommands.
	Command string `json:"command,omitempty"`
	// Handover asks for a person. Handover.Words of the file must say how that is asked in words.
	Handover bool `json:"handover,omitempty"`
	// MiniProgram is opened. The account must be linked to it in WeChat's console.
	MiniProgram *MiniProgram `json:"miniProgram,omitempty"`
}

// MiniProgram is a page of one.
type MiniProgram struct {
	AppID string `json:"appID"`
	// Path is the page's, such as pages/index.
	Path string `json:"path"`
	// URL is opened by clients that are too old for mini programs.
	URL string `json:"url"`
}

// Bounds of a menu: WeChat's in bytes of UTF-8, a Chinese character has 3. Clients show about four and eight characters.
const (
	MaxMenuButtons = 3
	MaxMenuItems   = 5
	MaxButtonBytes = 16
	MaxItemBytes   = 60
	MaxURLBytes    = 1024
	MaxReplyBytes  = 2000 // one reply shows 2,040
)

// MenuCommands are what an item may do as a command.
var MenuCommands = []string{"/help", "/stop", "/clear"}

// Does says whether the item does something itself.
func (i MenuItem) Does() bool { return len(i.actions()) > 0 }

// actions are the fields that are set and of which there may be one.
func (i MenuItem) actions() []string {
	var set []string
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"url", i.URL != ""}, {"question", i.Question != ""}, {"reply", i.Reply != ""}, {"command", i.Command != ""},
		{"miniProgram", i.MiniProgram != nil},
		{"handover", i.Handover},
	} {
		if f.set {
			set = append(set, f.name)
		}
	}
	return set
}

// withoutIdle is a menu without what does nothing that this version knows.
func withoutIdle(menu []MenuButton) []MenuButton {
	var left []MenuButton
	for _, b := range menu {
		b.Items = slices.DeleteFunc(slices.Clone(b.Items), func(i MenuItem) bool { return !i.Does() })
		if b.Does() || len(b.Items) > 0 {
			left = append(left, b)
		}
	}
	return left
}

const oneAction = "give one of url, question, reply, command, miniProgram and handover"

func (c *Config) checkMenu() error {
	switch {
	case len(c.Menu) > MaxMenuButtons:
		return wrong("menu", "has %d buttons, WeChat takes at most %d", len(c.Menu), MaxMenuButtons)
	case c.MenuPolicy != MenuReport && c.MenuPolicy != MenuEnforce:
		return wrong("menuPolicy", "%q is not offered: use %s or %s", string(c.MenuPolicy), MenuReport, MenuEnforce)
	case len(c.Menu) > 0 && c.WeChat.AppID == "":
		return wrong("wechat.appID", "is missing: menu is published through WeChat's API, which needs it")
	}
	names := map[string]string{}
	for i, b := range c.Menu {
		if err := c.checkButton(fmt.Sprintf("menu[%d]", i), b, names); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) checkButton(field string, b MenuButton, names map[string]string) error {
	if len(b.Items) == 0 {
		return c.checkItem(field, b.MenuItem, MaxButtonBytes, oneAction+", or items", names)
	}
	switch {
	case len(b.Items) > MaxMenuItems:
		return wrong(field+".items", "has %d items, WeChat takes at most %d", len(b.Items), MaxMenuItems)
	case b.Does():
		return wrong(field+"."+b.actions()[0], "is set beside items: a button that has items does nothing itself, remove one of them")
	}
	if err := checkName(field, b.Name, MaxButtonBytes); err != nil {
		return err
	}
	for i, item := range b.Items {
		if err := c.checkItem(fmt.Sprintf("%s.items[%d]", field, i), item, MaxItemBytes, oneAction, names); err != nil {
			return err
		}
	}
	return nil
}

func checkName(field, name string, most int) error {
	switch {
	case name == "":
		return wrong(field+".name", "is missing: give what the follower reads")
	case len(name) > most:
		return wrong(field+".name", "has %d bytes, WeChat takes at most %d (a Chinese character has 3)", len(name), most)
	case name != strings.TrimSpace(name), strings.ContainsAny(name, "\r\n\t<>"):
		return wrong(field+".name", "%q: write it in one line, without <, > and blanks around it", name)
	case strings.HasPrefix(name, "/"), strings.HasPrefix(name, "／"):
		return wrong(field+".name", "%q begins with a slash, as commands do: choose another name", name)
	}
	return nil
}

// checkItem checks what does something. names has where each name stands.
func (c *Config) checkItem(field string, i MenuItem, nameBytes int, wants string, names map[string]string) error {
	if err := checkName(field, i.Name, nameBytes); err != nil {
		return err
	}
	folded := strings.ToLower(i.Name)
	if other, taken := names[folded]; taken {
		return wrong(field+".name", "%q is also the name of %s: a tap in a text says only the name, choose another", i.Name, other)
	}
	names[folded] = field
	if slices.ContainsFunc(c.Reply.ContinueWords, func(w string) bool { return strings.EqualFold(w, i.Name) }) {
		return wrong(field+".name", "%q is one of reply.continueWords: choose another name", i.Name)
	}
	switch set := i.actions(); len(set) {
	case 0:
		return wrong(field, "does nothing: %s", wants)
	case 1:
		if i.Handover && len(c.Handover.Words) == 0 {
			return wrong("handover.words", "is missing: %s hands over, give the words that ask for a person, such as 人工", field+".handover")
		}
		return i.checkAction(field + "." + set[0])
	default:
		return wrong(field, "has %s: %s", strings.Join(set, " and "), wants)
	}
}

func (i MenuItem) checkAction(field string) error {
	switch {
	case i.URL != "":
		return checkLink(field, i.URL)
	case i.Question != "":
		return checkWords(field, i.Question, MaxTextBytes)
	case i.Reply != "":
		return checkWords(field, i.Reply, MaxReplyBytes)
	case i.Command != "":
		if !slices.Contains(MenuCommands, i.Command) {
			return wrong(field, "%q is not offered: use %s", i.Command, strings.Join(MenuCommands, ", "))
		}
		return nil
	case i.Handover:
		return nil
	}
	switch m := i.MiniProgram; {
	case !accountPattern.matches(m.AppID):
		return wrong(field+".appID", "%q is not an AppID: give the mini program's, it looks like wx0123456789abcdef", m.AppID)
	case !pagePattern.matches(m.Path):
		return wrong(field+".path", "%q is not a page of a mini program: write it as in pages/index", m.Path)
	default:
		return checkLink(field+".url", m.URL)
	}
}

func checkWords(field, text string, most int) error {
	switch {
	case strings.TrimSpace(text) == "":
		return wrong(field, "is blank: give a text")
	case len(text) > most:
		return wrong(field, "has %d bytes, at most %d are allowed (a Chinese character has 3)", len(text), most)
	}
	return nil
}

// checkLink checks an address that followers open.
func checkLink(field, address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", strings.ContainsAny(address, "\"<> \r\n\t"):
		return wrong(field, "must be an http or https address, such as https://example.com/")
	case u.User != nil:
		return wrong(field, "must hold no user or password")
	case len(address) > MaxURLBytes:
		return wrong(field, "has %d bytes, WeChat takes at most %d", len(address), MaxURLBytes)
	}
	return nil
}

// menuTexts are all texts in the menu that a person writes, by their fields.
func (c *Config) menuTexts(each func(field, text string)) {
	item := func(field string, i MenuItem) {
		each(field+".name", i.Name)
		each(field+".question", i.Question)
		each(field+".reply", i.Reply)
	}
	for n, b := range c.Menu {
		field := fmt.Sprintf("menu[%d]", n)
		item(field, b.MenuItem)
		for m, i := range b.Items {
			item(fmt.Sprintf("%s.items[%d]", field, m), i)
		}
	}
}
