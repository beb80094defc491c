// Package serverstatus is what a webhook server says of itself at GET /status on its admin port, as JSON. The operator, and
// whoever else watches a bot, reads it.
//
// APIVersion changes when a field goes or means something else; fields are added without. Readers ignore what they do not
// know. There is no secret, openid or text of a follower in it.
package serverstatus

// APIVersion is that of this package.
const APIVersion = "v1"

// Status is the whole answer. All of it is of one process, since its start.
type Status struct {
	APIVersion string `json:"apiVersion"`
	// Version is the server's.
	Version string `json:"version"`
	Config  Config `json:"config"`
	Store   Store  `json:"store"`
	Dify    Dify   `json:"dify"`
	// Account is there when the server has an AppSecret.
	Account *Account `json:"account,omitempty"`
	Pushes  Pushes   `json:"pushes"`
	Voice   Voice    `json:"voice"`
	// Budget is there when limits.tokens is configured.
	Budget *Budget `json:"budget,omitempty"`
}

// Config is the configuration in force.
type Config struct {
	// Hash names the bytes of its file, as serverconfig.Hash does. A changed file that was refused is not in it.
	Hash string `json:"hash"`
}

// Store is the session store, as it was when it was last asked, 15 s ago at most.
type Store struct {
	OK bool `json:"ok"`
	// Error says what is wrong; empty if OK.
	Error string `json:"error"`
}

// Dify is the app.
type Dify struct {
	// LastError is the kind of the last call's error, as in the label kind of wechatbot_dify_errors_total; empty if the last
	// call went well, or there was none.
	LastError string `json:"lastError"`
}

// Account is the Official Account, as WeChat's API has shown it.
type Account struct {
	Capabilities Capabilities `json:"capabilities"`
	// LastErrors are what calls have failed with since the same call last went well, the newest first, for a day.
	LastErrors []CallError `json:"lastErrors"`
	// Addresses are all that WeChat has refused because they are not on the account's IP list, the newest first.
	Addresses []string `json:"addresses"`
	// Menu is there in the process that has the account's duty, if a menu is configured, once it is known how it is.
	Menu *Menu `json:"menu,omitempty"`
}

// Capability says whether the account may make some calls.
type Capability string

// The values of a Capability. It is unknown until such a call was made.
const (
	Yes     Capability = "yes"
	No      Capability = "no"
	Unknown Capability = "unknown"
)

// Capabilities are what only some kinds of accounts may do.
type Capabilities struct {
	CustomerService Capability `json:"customerService"`
	Media           Capability `json:"media"`
	Menu            Capability `json:"menu"`
	Handover        Capability `json:"handover"`
}

// CallError is how a call of WeChat's API has failed.
type CallError struct {
	// API is the call's path, such as /cgi-bin/stable_token.
	API string `json:"api"`
	// Errcode is WeChat's; 0 if no answer of WeChat's came.
	Errcode int `json:"errcode"`
}

// MenuState is how the account's menu compares with the configured one.
type MenuState string

// The values of a MenuState.
const (
	MenuPublished   MenuState = "Published"   // followers see it
	MenuDrifted     MenuState = "Drifted"     // it was published, and somebody has changed it since
	MenuRejected    MenuState = "Rejected"    // WeChat does not take it: Errcode says why
	MenuNotEntitled MenuState = "NotEntitled" // this kind of account may have no menu by the API
)

// Menu is the account's menu.
type Menu struct {
	State MenuState `json:"state"`
	// Errcode is WeChat's, if it has refused the menu; else 0.
	Errcode int `json:"errcode"`
}

// Pushes counts what came to the webhook.
type Pushes struct {
	// Authentic pushes are WeChat's.
	Authentic int64 `json:"authentic"`
	// WrongSignature counts pushes and checks of the URL whose signature is not made with the bot's Token.
	WrongSignature int64 `json:"wrongSignature"`
	// Undecryptable counts encrypted ones that were signed well: AppID or EncodingAESKey differ from the console's.
	Undecryptable int64 `json:"undecryptable"`
}

// Voice is the understanding of spoken questions.
type Voice struct {
	// LastError is why the last spoken question was not understood; empty if it was, or there was none.
	LastError string `json:"lastError"`
}

// Budget is how many tokens the app may use on a day, and has. All processes of a bot share it.
type Budget struct {
	// Follower and Bot are what each follower and the bot may use; 0 is no limit.
	Follower int64 `json:"follower"`
	Bot      int64 `json:"bot"`
	// Used is what the bot has used today, as the session store has last said, 15 s ago at most; it is not there as long as the
	// store has said nothing.
	Used *int64 `json:"used,omitempty"`
	// Until is when the day ends, in UTC as RFC 3339 writes it; empty if nothing was used on it yet.
	Until string `json:"until,omitempty"`
}
