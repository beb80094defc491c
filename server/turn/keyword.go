package turn

import "strings"

// Match says where in a message a keyword's word stands.
type Match int

// The matches.
const (
	Exact Match = iota
	Prefix
	Contains
)

// Keyword is what the bot does when a follower writes one of some words, instead of asking the app. It comes behind commands
// and continue words, and before the names of the menu.
type Keyword struct {
	Words []string
	Match Match

	Question string // is asked instead
	Reply    string // is said
	Command  string
	Handover bool // a person is asked for
}

// keyword finds what a text is a keyword for, the first if there are several; nil if nothing.
func (s *Settings) keyword(text string) *MenuItem {
	folded := strings.ToLower(text)
	for i := range s.Keywords {
		k := &s.Keywords[i]
		for _, word := range k.Words {
			if k.Match.finds(folded, strings.ToLower(word)) {
				return &MenuItem{Question: k.Question, Reply: k.Reply, Command: k.Command, Handover: k.Handover}
			}
		}
	}
	return nil
}

func (m Match) finds(text, word string) bool {
	switch m {
	case Prefix:
		return strings.HasPrefix(text, word)
	case Contains:
		return strings.Contains(text, word)
	default:
		return text == word
	}
}
