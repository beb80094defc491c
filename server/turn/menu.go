package turn

import (
	"context"
	"strings"
	"time"
)

// MenuItem is an item of the account's menu. It does one thing: what Question, Reply or Command says, or what its Link
// does in the follower's client.
type MenuItem struct {
	Key  string // what a click on it pushes; empty if the client does all itself
	Name string // also what a tap on Link sends, and what a follower may type
	Link string // how it stands in a text

	Question string // is asked, in place of the key or name
	Reply    string // is said
	Command  string
	Handover bool // a person is asked for
}

// isKey and isName find the item that a click or a text is about; nil if none.
func (s *Settings) isKey(key string) *MenuItem {
	return s.menuItem(func(i *MenuItem) bool { return i.Key != "" && i.Key == key })
}

func (s *Settings) isName(text string) *MenuItem {
	return s.menuItem(func(i *MenuItem) bool { return i.Key != "" && strings.EqualFold(i.Name, text) })
}

func (s *Settings) menuItem(is func(*MenuItem) bool) *MenuItem {
	for i := range s.Menu {
		if is(&s.Menu[i]) {
			return &s.Menu[i]
		}
	}
	return nil
}

// click replies to a click on an item of the menu.
func (e *Engine) click(ctx context.Context, s *Settings, m Message, i *MenuItem) (r Reply) {
	defer e.delivered(ctx, m, time.Now(), &r)
	return e.act(ctx, s, m, i)
}

// act does what an item of the menu says.
func (e *Engine) act(ctx context.Context, s *Settings, m Message, i *MenuItem) Reply {
	switch {
	case i.Question != "":
		return e.ask(ctx, s, m, i.Question)
	case i.Command != "":
		return e.command(ctx, s, m, i.Command)
	case i.Handover:
		return e.handOver(ctx, s, m)
	default:
		e.Contact(m)
		return e.notice(i.Reply)
	}
}

// withMenu adds the menu to a text, an item a line, as many as fit, while the account has none: followers reach it there.
func (e *Engine) withMenu(s *Settings, text string) string {
	if len(s.Menu) == 0 || e.MenuShown != nil && e.MenuShown() {
		return text
	}
	between := betweenBlocks
	for i := range s.Menu {
		line := between + s.Menu[i].Link
		if len(text)+len(line) > e.PageBytes {
			break
		}
		text += line
		between = "\n"
	}
	return text
}
