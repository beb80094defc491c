package crowd

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// reply is what a follower makes of one reply. The bot's own texts are configured to be [[their key]], so that nothing
// is left over that could pass for one.
type reply struct {
	quoted  string   // the question that it says it answers; "" if it says nothing of it
	notices []string // keys of the bot's own texts
	body    string   // all else, without white space
	more    wechatsim.Link
	retry   wechatsim.Link
}

var notice = regexp.MustCompile(`\[\[(\w+)\]\]`)

// label takes the line away that says who has written an answer, if it is the usual one.
var label = strings.NewReplacer(serverconfig.Default().Reply.AILabel, "")

// Texts are the bot's own texts as a crowd recognizes them: each is [[its key]]. They are for the bot's configuration.
func Texts() map[string]string {
	texts := make(map[string]string, len(serverconfig.TextKeys))
	for _, key := range serverconfig.TextKeys {
		texts[key] = "[[" + key + "]]"
	}
	return texts
}

func read(text string) reply {
	var r reply
	for _, l := range wechatsim.Links(text) {
		switch l.Send {
		case "1":
			r.more = l
		case "/retry":
			r.retry = l
		}
	}
	text = wechatsim.Visible(text, func(wechatsim.Link) string { return "" })
	if head, rest, ok := strings.Cut(text, "\n------------\n"); ok {
		r.quoted, text = head, rest
	}
	for _, m := range notice.FindAllStringSubmatch(text, -1) {
		r.notices = append(r.notices, m[1])
	}
	r.body = squeeze(label.Replace(notice.ReplaceAllString(text, "")))
	return r
}

// String tells of a reply what a person needs who looks for a cause.
func (r reply) String() string {
	return fmt.Sprintf("quoted %q, %v, %q and %d bytes", r.quoted, r.notices, firstRunes(r.body, 20), len(r.body))
}

func (r reply) says(key string) bool { return slices.Contains(r.notices, key) }

// refuses tells whether the question was not taken. A turn that failed because Dify was busy has the same words, but a
// link to ask again.
func (r reply) refuses() bool {
	return r.retry.Send == "" && (r.says(serverconfig.TextBusy) || r.says(serverconfig.TextTooManyOpen) || r.says(serverconfig.TextRateLimited))
}
