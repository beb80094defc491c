// Package serverlocal is what a webhook server tells, and does when it is told, at an address of its own host alone, as JSON.
// In a pod only kubectl port-forward leads there, so that the rights to that decide who may. kubectl wechatbot uses it.
//
// Followers are known by the aliases that the server's log lines have. There is no openid, text or secret in it.
//
//	GET  /sessions?from=…&limit=…     a page of Sessions
//	POST /sessions/ALIAS/clear        Done: forgets the conversation and what was asked and answered
//	POST /sessions/ALIAS/stop         Done: ends the question that is being answered, or else the next one
//	GET  /menu                        Menu
//
// What changes something wants the header Header, which no page in a browser can send to another address than its own.
// Anything but 200 has an Error.
package serverlocal

import "time"

const (
	// APIVersion changes when a field goes or means something else; fields are added without.
	APIVersion = "v1"
	// Port is where the server of a pod listens, on the pod's own loopback.
	Port = 9091
	// Header is what a request that changes something has, with any value.
	Header = "X-Wechatbot-Local"
	// DefaultLimit is about how many sessions a page has.
	DefaultLimit = 100
	// MaxLimit is about how many it has at most.
	MaxLimit = 500
)

// Sessions is a page of the followers who are remembered, in no order.
type Sessions struct {
	APIVersion string    `json:"apiVersion"`
	Sessions   []Session `json:"sessions"`
	// Next is from of the next page; empty if this is the last one. A page may have few sessions, or none, before the last.
	Next string `json:"next"`
}

// Session is one follower. A follower may be on two pages.
type Session struct {
	Alias      string    `json:"alias"`
	LastActive time.Time `json:"lastActive"`
	// HumanUntil is until when a person serves the follower at most.
	HumanUntil *time.Time `json:"humanUntil,omitempty"`
	// Turns counts the questions that are kept with their answers.
	Turns int `json:"turns"`
	// Open are those of them that are not answered yet, the oldest first.
	Open []Turn `json:"open"`
	// Undelivered counts those that are over and whose answer the follower has not got to its end.
	Undelivered int `json:"undelivered"`
	// Bytes is about what the session takes, texts included.
	Bytes int64 `json:"bytes"`
}

// Turn is one question.
type Turn struct {
	// Message is its alias, as in log lines.
	Message string `json:"message"`
	// State is accepted (it waits) or answering.
	State string    `json:"state"`
	Since time.Time `json:"since"`
}

// Done is what became of a clear or a stop. One that has found nothing to do is no error.
type Done struct {
	APIVersion string `json:"apiVersion"`
	// Changed tells whether there was something to stop; a clear always does something.
	Changed bool `json:"changed"`
}

// Menu is the account's menu as it is configured, and as WeChat shows it to followers.
type Menu struct {
	APIVersion string   `json:"apiVersion"`
	Configured []Button `json:"configured"`
	Shown      []Button `json:"shown"`
	// Open is false if the menu is switched off in WeChat's console.
	Open bool `json:"open"`
	// Same tells whether both look and act the same.
	Same bool `json:"same"`
}

// Button is one of a menu, in the words of WeChat's API.
type Button struct {
	Name string `json:"name"`
	Type string `json:"type,omitempty"`
	// Does is what a tap leads to: a key, an address, a mini program.
	Does  string   `json:"does,omitempty"`
	Items []Button `json:"items,omitempty"`
}

// Error says what is wrong.
type Error struct {
	Error string `json:"error"`
	// Elsewhere: another process of the bot has the sessions.
	Elsewhere bool `json:"elsewhere,omitempty"`
}
