package serverconfig

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const withAppID = minimal + "wechat: {appID: wx0123456789abcdef}\n"

func TestMenuIsRead(t *testing.T) {
	c := parse(t, withAppID+`
menuPolicy: Enforce
menu:
- {name: 官网, url: "https://example.com/?a=1&b=2"}
- {name: 帮助, command: /help}
- name: 咖啡
  items:
  - {name: 今天喝什么, question: 推荐一款咖啡}
  - {name: 营业时间, reply: "每天 8:00\n到 22:00"}
  - {name: 点单, miniProgram: {appID: wx1, path: pages/index, url: "https://example.com/order"}}
`)
	want := []MenuButton{
		{MenuItem: MenuItem{Name: "官网", URL: "https://example.com/?a=1&b=2"}},
		{MenuItem: MenuItem{Name: "帮助", Command: "/help"}},
		{MenuItem: MenuItem{Name: "咖啡"}, Items: []MenuItem{
			{Name: "今天喝什么", Question: "推荐一款咖啡"},
			{Name: "营业时间", Reply: "每天 8:00\n到 22:00"},
			{Name: "点单", MiniProgram: &MiniProgram{AppID: "wx1", Path: "pages/index", URL: "https://example.com/order"}},
		}},
	}
	if d := cmp.Diff(want, c.Menu); d != "" || c.MenuPolicy != MenuEnforce {
		t.Errorf("%s (-want +got):\n%s", c.MenuPolicy, d)
	}
	if d := cmp.Diff(c, parse(t, string(Marshal(c)))); d != "" {
		t.Errorf("(-written +read):\n%s", d)
	}
}

func TestMenuRefuses(t *testing.T) {
	button := func(fields string) string { return "menu: [{name: a, " + fields + "}]\n" }
	item := func(fields string) string { return "menu: [{name: a, items: [{" + fields + "}]}]\n" }
	tests := map[string]struct{ menu, want string }{
		"not a list":          {"menu: {name: a}\n", "menu: is a mapping, must be a list"},
		"four buttons":        {"menu: [{name: a, reply: x}, {name: b, reply: x}, {name: c, reply: x}, {name: d, reply: x}]\n", "menu: has 4 buttons, WeChat takes at most 3"},
		"policy":              {"menuPolicy: Replace\n", `menuPolicy: "Replace" is not offered: use Report or Enforce`},
		"unknown field":       {button("replay: x"), "menu[0].replay: unknown field: correct its name, or remove it"},
		"unknown in an item":  {item("name: b, replay: x"), "menu[0].items[0].replay: unknown field: correct its name, or remove it"},
		"no name":             {"menu: [{reply: x}]\n", "menu[0].name: is missing: give what the follower reads"},
		"null":                {"menu: [null]\n", "menu[0].name: is missing: give what the follower reads"},
		"long name":           {"menu: [{name: 一二三四五六, reply: x}]\n", "menu[0].name: has 18 bytes, WeChat takes at most 16 (a Chinese character has 3)"},
		"long name of group":  {"menu: [{name: 一二三四五六, items: [{name: b, reply: x}]}]\n", "menu[0].name: has 18 bytes, WeChat takes at most 16 (a Chinese character has 3)"},
		"long name of item":   {item("name: " + strings.Repeat("长", 21) + ", reply: x"), "menu[0].items[0].name: has 63 bytes, WeChat takes at most 60 (a Chinese character has 3)"},
		"name with blanks":    {"menu: [{name: ' a', reply: x}]\n", `menu[0].name: " a": write it in one line, without <, > and blanks around it`},
		"name like a command": {"menu: [{name: /help, reply: x}]\n", `menu[0].name: "/help" begins with a slash, as commands do: choose another name`},
		"name to continue":    {"menu: [{name: 继续, reply: x}]\n", `menu[0].name: "继续" is one of reply.continueWords: choose another name`},
		"name twice":          {"menu: [{name: a, items: [{name: B, reply: x}]}, {name: b, reply: x}]\n", `menu[1].name: "b" is also the name of menu[0].items[0]: a tap in a text says only the name, choose another`},
		"six items":           {"menu: [{name: a, items: [{}, {}, {}, {}, {}, {}]}]\n", "menu[0].items: has 6 items, WeChat takes at most 5"},
		"does nothing":        {"menu: [{name: a}]\n", "menu[0]: does nothing: give one of url, question, reply, command, miniProgram and handover, or items"},
		"item does nothing":   {item("name: b"), "menu[0].items[0]: does nothing: give one of url, question, reply, command, miniProgram and handover"},
		"does two things":     {button("reply: x, url: 'https://a'"), "menu[0]: has url and reply: give one of url, question, reply, command, miniProgram and handover, or items"},
		"does beside items":   {button("reply: x, items: [{name: b, reply: x}]"), "menu[0].reply: is set beside items: a button that has items does nothing itself, remove one of them"},
		"url":                 {button("url: example.com"), "menu[0].url: must be an http or https address, such as https://example.com/"},
		"script":              {button("url: 'javascript:alert(1)'"), "menu[0].url: must be an http or https address, such as https://example.com/"},
		"url with a quote":    {button(`url: 'https://a/"'`), "menu[0].url: must be an http or https address, such as https://example.com/"},
		"url with a password": {button("url: 'https://a:b@c'"), "menu[0].url: must hold no user or password"},
		"long url":            {button("url: 'https://a/" + strings.Repeat("x", 1015) + "'"), "menu[0].url: has 1025 bytes, WeChat takes at most 1024"},
		"blank question":      {button("question: ' '"), "menu[0].question: is blank: give a text"},
		"long question":       {button("question: " + strings.Repeat("x", 601)), "menu[0].question: has 601 bytes, at most 600 are allowed (a Chinese character has 3)"},
		"long reply":          {button("reply: " + strings.Repeat("x", 2001)), "menu[0].reply: has 2001 bytes, at most 2000 are allowed (a Chinese character has 3)"},
		"control character":   {button(`reply: "a\u0001"`), "menu[0].reply: holds a control character or is not UTF-8: remove it"},
		"command":             {button("command: /retry"), `menu[0].command: "/retry" is not offered: use /help, /stop, /clear`},
		"nobody to hand over": {button("handover: true"), "handover.words: is missing: menu[0].handover hands over, give the words that ask for a person, such as 人工"},
		"mini program's id":   {item("name: b, miniProgram: {path: a, url: 'https://a'}"), `menu[0].items[0].miniProgram.appID: "" is not an AppID: give the mini program's, it looks like wx0123456789abcdef`},
		"mini program's path": {item("name: b, miniProgram: {appID: wx1, url: 'https://a'}"), `menu[0].items[0].miniProgram.path: "" is not a page of a mini program: write it as in pages/index`},
		"mini program's url":  {item("name: b, miniProgram: {appID: wx1, path: a}"), "menu[0].items[0].miniProgram.url: must be an http or https address, such as https://example.com/"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(withAppID + tt.menu))
			if got := message(err); got != tt.want {
				t.Errorf("message\n  got  %s\n  want %s", got, tt.want)
			}
		})
	}
	if _, err := Parse([]byte(minimal + button("reply: x"))); message(err) != "wechat.appID: is missing: menu is published through WeChat's API, which needs it" {
		t.Errorf("without AppID: %v", err)
	}
}

// What a newer release can put into a menu does not keep an older server from starting.
func TestMenuOfANewerOperator(t *testing.T) {
	c, unknown, err := ParseByOperator([]byte(withAppID + `
menu:
- {name: a, newer: true}
- {name: b, items: [{name: c, newer: true}]}
- {name: d, items: [{name: e, newer: true}, {name: f, reply: x}]}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []MenuButton{{MenuItem: MenuItem{Name: "d"}, Items: []MenuItem{{Name: "f", Reply: "x"}}}}
	if d := cmp.Diff(want, c.Menu); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	slices.Sort(unknown)
	if want := []string{"menu[0].newer", "menu[1].items[0].newer", "menu[2].items[0].newer"}; !slices.Equal(unknown, want) {
		t.Errorf("unknown are %v", unknown)
	}
}

func TestMenuChangesWithoutRestart(t *testing.T) {
	before, after := parse(t, withAppID), parse(t, withAppID+"menuPolicy: Enforce\nmenu: [{name: a, reply: b}]\n")
	if got, want := after.Diff(&before), []string{"menu", "menuPolicy"}; !slices.Equal(got, want) {
		t.Errorf("changed are %v, want %v", got, want)
	}
	if got := after.RestartNeeded(&before); len(got) != 0 {
		t.Errorf("a restart is needed for %v", got)
	}
}

func anyMenu(t *rapid.T) []MenuButton {
	words := rapid.StringN(1, 100, 300).Filter(func(s string) bool { return isPrintable(s) && strings.TrimSpace(s) != "" })
	n := 0
	item := func() MenuItem {
		n++
		i := MenuItem{Name: "n" + strconv.Itoa(n)}
		switch rapid.IntRange(0, 4).Draw(t, "action") {
		case 0:
			i.URL = "https://example.com/" + strconv.Itoa(n)
		case 1:
			i.Question = words.Draw(t, "question")
		case 2:
			i.Reply = words.Draw(t, "reply")
		case 3:
			i.Command = rapid.SampledFrom(MenuCommands).Draw(t, "command")
		default:
			i.MiniProgram = &MiniProgram{AppID: "wx1", Path: "pages/" + strconv.Itoa(n), URL: "https://example.com"}
		}
		return i
	}
	var menu []MenuButton
	for range rapid.IntRange(0, MaxMenuButtons).Draw(t, "buttons") {
		b := MenuButton{}
		if items := rapid.IntRange(0, MaxMenuItems).Draw(t, "items"); items > 0 {
			n++
			b.Name = "b" + strconv.Itoa(n)
			for range items {
				b.Items = append(b.Items, item())
			}
		} else {
			b.MenuItem = item()
		}
		menu = append(menu, b)
	}
	return menu
}
