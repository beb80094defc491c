// Package page shows one whole answer as a web page, for followers whose answer is longer than a reply: at an address that
// only the bot can make, that names nobody, and that ends.
//
// An answer is text from outside. It becomes HTML without any script, style or form (references.go, allowed.go), below a policy that would let
// none of them work, and its pictures and files come through the page's own path (file.go), fetched when they are asked for.
// Who asks too often is refused before anything costs time (limit.go).
//
// It knows HTTP, Markdown and HTML. Where answers are kept, how their app signs addresses, and who follows the account it
// does not know: it is given Answers.
package page

import (
	"context"
	"time"
)

// Name is what an address names.
type Name struct {
	Follower, Turn string
	Until          time.Time // in whole seconds; afterwards there is no page
}

// Answer is what a page shows.
type Answer struct {
	Question string
	Markdown string
	Files    []File
	Ending   string // how it ended, if it did not end well
}

// File is something that an answer has besides its text.
type File struct {
	Name string
	Type string // image, document, audio, video
	URL  string // absolute
}

// Answers are where pages come from. Both methods read the store once at most, and return false for an answer that is not
// there any more.
type Answers interface {
	Answer(ctx context.Context, follower, turn string) (a Answer, ok bool, err error)
	// Renewable returns the answer and how to get it anew from the app, which signs the addresses of its files for minutes.
	Renewable(ctx context.Context, follower, turn string) (a Answer, renew func(context.Context) (Answer, error), ok bool, err error)
}
