package serverconfig

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHandover(t *testing.T) {
	c := parse(t, withAppID+"handover: {words: [人工, human], offline: 9 点到 18 点}\nmenu: [{name: 客服, handover: true}]\nkeywords: [{words: [客服], handover: true}]\n")
	if d := cmp.Diff(Handover{Words: []string{"人工", "human"}, Offline: "9 点到 18 点"}, c.Handover); d != "" || !c.Menu[0].Handover || !c.Keywords[0].Handover {
		t.Errorf("(-want +got):\n%s\n%+v", d, c.Menu)
	}
	if back := parse(t, string(Marshal(c))); cmp.Diff(c, back) != "" {
		t.Errorf("(-written +read):\n%s", cmp.Diff(c, back))
	}
	before := c
	before.Handover = Handover{}
	if d := cmp.Diff([]string{"handover.words", "handover.offline"}, c.Diff(&before)); d != "" || len(c.RestartNeeded(&before)) != 0 {
		t.Errorf("changed (-want +got):\n%s", d)
	}
}

func TestHandoverRefuses(t *testing.T) {
	for name, c := range map[string]struct{ file, want string }{
		"without AppID":      {minimal + "handover: {words: [人工]}\n", "wechat.appID: is missing: handover asks WeChat's API who is online, which needs it"},
		"without words":      {withAppID + "handover: {offline: later}\n", "handover.words: is missing: handover.offline is said to who asks for a person, give the words for that, such as 人工"},
		"nine words":         {withAppID + "handover: {words: [a, b, c, d, e, f, g, h, i]}\n", "handover.words: 9 words: give at most 8"},
		"a command":          {withAppID + "handover: {words: [/human]}\n", `handover.words[0]: "/human": a word has 1 to 30 bytes, no slash in front and no blanks around it`},
		"a continue word":    {withAppID + "handover: {words: [人工, 继续]}\n", `handover.words[1]: "继续" is one of reply.continueWords: choose another word`},
		"a blank text":       {withAppID + "handover: {words: [人工], offline: ' '}\n", "handover.offline: is blank: give a text"},
		"a long text":        {withAppID + "handover: {words: [人工], offline: " + strings.Repeat("长", 700) + "}\n", "handover.offline: has 2100 bytes, at most 2000 are allowed (a Chinese character has 3)"},
		"of another type":    {withAppID + "handover: [人工]\n", "handover: is a list, must be a mapping of fields"},
		"no picture hosts":   {minimal + "wechat: {pictureHosts: []}\n", "wechat.pictureHosts: has 0 hosts: give 1 to 16, or leave it out for WeChat's own"},
		"a picture's path":   {minimal + "wechat: {pictureHosts: [qpic.cn/a]}\n", `wechat.pictureHosts[0]: "qpic.cn/a" is neither a public host such as qpic.cn nor an origin such as http://127.0.0.1:8080`},
		"a host of the host": {minimal + "wechat: {pictureHosts: [localhost]}\n", `wechat.pictureHosts[0]: "localhost" is neither a public host such as qpic.cn nor an origin such as http://127.0.0.1:8080`},
	} {
		_, err := Parse([]byte(c.file))
		if got := message(err); got != c.want {
			t.Errorf("%s: message\n  got  %s\n  want %s", name, got, c.want)
		}
	}
	c := parse(t, withAppID+"handover: {words: [人工]}\n")
	if got, want := message(Validate(c, Secrets{Token: "abc", DifyAPIKey: "app-1"})), "app-secret: is missing: handover asks WeChat's API who is online, put the account's AppSecret into this secret file"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
