package serverconfig

import (
	"fmt"
	"slices"
	"strings"
)

// MaxHandoverWords bounds handover.words.
const MaxHandoverWords = 8

func (c *Config) checkHandover() error {
	h := &c.Handover
	switch {
	case len(h.Words) > MaxHandoverWords:
		return wrong("handover.words", "%d words: give at most %d", len(h.Words), MaxHandoverWords)
	case len(h.Words) == 0 && h.Offline != "":
		return wrong("handover.words", "is missing: handover.offline is said to who asks for a person, give the words for that, such as 人工")
	case len(h.Words) > 0 && c.WeChat.AppID == "":
		return wrong("wechat.appID", "is missing: handover asks WeChat's API who is online, which needs it")
	}
	for i, word := range h.Words {
		field := fmt.Sprintf("handover.words[%d]", i)
		if err := checkWord(field, word); err != nil {
			return err
		}
		if slices.ContainsFunc(c.Reply.ContinueWords, func(w string) bool { return strings.EqualFold(w, word) }) {
			return wrong(field, "%q is one of reply.continueWords: choose another word", word)
		}
	}
	if h.Offline == "" {
		return nil
	}
	return checkWords("handover.offline", h.Offline, MaxReplyBytes)
}
