package serverconfig

import (
	"fmt"
	"slices"
	"strings"
)

// KeywordMatch says where in a message a keyword's word stands. Letters count in any case.
type KeywordMatch string

// The matches.
const (
	MatchExact    KeywordMatch = "Exact"    // the word is the whole message
	MatchPrefix   KeywordMatch = "Prefix"   // the message begins with it
	MatchContains KeywordMatch = "Contains" // it stands anywhere
)

// Keyword is what the bot does when a follower writes one of some words, instead of asking the app: exactly one of the fields
// behind Match is set.
type Keyword struct {
	// Words are 1 to MaxKeywordWords, each of 1 to MaxWordBytes bytes.
	Words []string `json:"words"`
	// Match is MatchExact if it is empty.
	Match KeywordMatch `json:"match,omitempty"`
	// Question is asked, instead of what was written.
	Question string `json:"question,omitempty"`
	// Reply is what the bot says, without asking the app.
	Reply string `json:"reply,omitempty"`
	// Command is one of MenuCommands.
	Command string `json:"command,omitempty"`
	// Handover asks for a person, as Handover.Words of the file do, which must be there.
	Handover bool `json:"handover,omitempty"`
}

// Bounds of keywords.
const (
	MaxKeywords     = 50
	MaxKeywordWords = 20
	MaxWordBytes    = 60
)

// oneOfKeyword is what a keyword does.
const oneOfKeyword = "give one of question, reply, command and handover"

// does says whether the keyword does something that this version knows.
func (k *Keyword) does() bool {
	return k.Question != "" || k.Reply != "" || k.Command != "" || k.Handover
}

func withoutIdleKeywords(all []Keyword) []Keyword {
	return slices.DeleteFunc(slices.Clone(all), func(k Keyword) bool { return !k.does() })
}

func (c *Config) checkKeywords() error {
	if len(c.Keywords) > MaxKeywords {
		return wrong("keywords", "has %d keywords, at most %d are allowed: put words that do the same into one", len(c.Keywords), MaxKeywords)
	}
	for n := range c.Keywords {
		if err := c.checkKeyword(fmt.Sprintf("keywords[%d]", n), &c.Keywords[n]); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) checkKeyword(field string, k *Keyword) error {
	switch {
	case !slices.Contains([]KeywordMatch{"", MatchExact, MatchPrefix, MatchContains}, k.Match):
		return wrong(field+".match", "%q is not offered: use %s, %s or %s", string(k.Match), MatchExact, MatchPrefix, MatchContains)
	case len(k.Words) < 1 || len(k.Words) > MaxKeywordWords:
		return wrong(field+".words", "%d words: give 1 to %d", len(k.Words), MaxKeywordWords)
	}
	for i, word := range k.Words {
		if err := c.checkWord(fmt.Sprintf("%s.words[%d]", field, i), word); err != nil {
			return err
		}
	}
	does := MenuItem{Question: k.Question, Reply: k.Reply, Command: k.Command, Handover: k.Handover}
	switch set := does.actions(); len(set) {
	case 0:
		return wrong(field, "does nothing: "+oneOfKeyword)
	case 1:
		if k.Handover && len(c.Handover.Words) == 0 {
			return wrong("handover.words", "is missing: %s hands over, give the words that ask for a person, such as 人工", field+".handover")
		}
		return does.checkAction(field + "." + set[0])
	default:
		return wrong(field, "has %s: "+oneOfKeyword, strings.Join(set, " and "))
	}
}

func (c *Config) checkWord(field, word string) error {
	switch {
	case word == "" || word != strings.TrimSpace(word) || len(word) > MaxWordBytes || strings.ContainsAny(word, "\r\n"):
		return wrong(field, "%q: a word has 1 to %d bytes in one line, and no blanks around it", word, MaxWordBytes)
	case strings.HasPrefix(word, "/"), strings.HasPrefix(word, "／"):
		return wrong(field, "%q begins with a slash, as commands do: choose another word", word)
	case slices.ContainsFunc(c.Reply.ContinueWords, func(w string) bool { return strings.EqualFold(w, word) }):
		return wrong(field, "%q is one of reply.continueWords, which come first: choose another word", word)
	}
	return nil
}

// keywordTexts are all texts in keywords that a person writes, by their fields.
func (c *Config) keywordTexts(each func(field, text string)) {
	for n := range c.Keywords {
		k, field := &c.Keywords[n], fmt.Sprintf("keywords[%d]", n)
		for i, word := range k.Words {
			each(fmt.Sprintf("%s.words[%d]", field, i), word)
		}
		each(field+".question", k.Question)
		each(field+".reply", k.Reply)
	}
}
