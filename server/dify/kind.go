package dify

// Kind is what has gone wrong.
type Kind string

// The kinds of errors.
const (
	// Unauthorized: there is no API key, or Dify does not know it.
	Unauthorized Kind = "Unauthorized"
	// Forbidden: the app is deleted or disabled, its API is switched off, or its workspace archived.
	Forbidden Kind = "Forbidden"
	// AppUnavailable: the app is not configured or was never published.
	AppUnavailable Kind = "AppUnavailable"
	// WrongAppMode: the key belongs to an app that does not chat: a workflow or a text completion.
	WrongAppMode Kind = "WrongAppMode"
	// ConversationGone: the conversation does not exist for this user (any more), or has ended. Ask without it.
	ConversationGone Kind = "ConversationGone"
	// NotFound: no such object, or no such route: then the base URL is not that of Dify's API.
	NotFound Kind = "NotFound"
	// InvalidParam: Dify refused the request's content.
	InvalidParam Kind = "InvalidParam"
	// InputRefused: a variable that the app's form requires is missing, or its value is refused.
	InputRefused Kind = "InputRefused"
	// RateLimited: too many concurrent requests, or too many in a period.
	RateLimited Kind = "RateLimited"
	// QuotaExceeded: the quota of the model provider or the Dify plan is used up, or a bill is not paid.
	QuotaExceeded Kind = "QuotaExceeded"
	// ContentFiltered: the model provider's content filter refuses the question or the answer.
	ContentFiltered Kind = "ContentFiltered"
	// ContextTooLong: question, conversation and knowledge exceed the model's context length.
	ContextTooLong Kind = "ContextTooLong"
	// ModelMisconfigured: the model's provider refuses its key, or has no such model.
	ModelMisconfigured Kind = "ModelMisconfigured"
	// ModelBusy: the model provider limits the rate, is overloaded, or cannot be reached.
	ModelBusy Kind = "ModelBusy"
	// ModelError: the model failed with an unknown message.
	ModelError Kind = "ModelError"
	// TooLarge: the request or a file is too large.
	TooLarge Kind = "TooLarge"
	// Server: Dify, or a proxy in front of it, failed.
	Server Kind = "Server"
	// Redirected: a redirect to https, another address or a login page.
	Redirected Kind = "Redirected"
	// HTMLResponse: a web page. The base URL is that of a web application, a proxy or a login page.
	HTMLResponse Kind = "HTMLResponse"
	// BadResponse: the response is not Dify's.
	BadResponse Kind = "BadResponse"
	// FirstEventTimeout: there was no event in time.
	FirstEventTimeout Kind = "FirstEventTimeout"
	// IdleTimeout: there was no further event in time.
	IdleTimeout Kind = "IdleTimeout"
	// Interrupted: the connection broke, or the stream ended before the answer.
	Interrupted Kind = "Interrupted"
	// WorkflowFailed: a node of the workflow failed.
	WorkflowFailed Kind = "WorkflowFailed"
	// NotRunning: the awaited run does not exist, and has no answer.
	NotRunning Kind = "NotRunning"
	// FormAnswered: the form was submitted before, by anybody.
	FormAnswered Kind = "FormAnswered"
	// FormExpired: the form's time is over, or it does not exist.
	FormExpired Kind = "FormExpired"
	// Suspended: the circuit breaker is open; nothing was sent. See package breaker.
	Suspended Kind = "Suspended"
	// Canceled: the caller's context ended. errors.Is finds its error.
	Canceled Kind = "Canceled"
)

// The kinds of errors without a connection, so that nothing was sent.
const (
	// NoSuchHost: the name of the host does not exist.
	NoSuchHost Kind = "NoSuchHost"
	// ConnectionRefused: nothing listens there.
	ConnectionRefused Kind = "ConnectionRefused"
	// ConnectTimeout: the host does not respond, as behind a firewall.
	ConnectTimeout Kind = "ConnectTimeout"
	// UnknownAuthority: the certificate is signed by an authority that is not trusted.
	UnknownAuthority Kind = "UnknownAuthority"
	// BadCertificate: the certificate has expired, or is for another host.
	BadCertificate Kind = "BadCertificate"
	// NoTLS: the server does not speak TLS: an https URL with an http port.
	NoTLS Kind = "NoTLS"
	// TLSRequired: the server expects TLS: an http URL with an https port.
	TLSRequired Kind = "TLSRequired"
	// TLSFailed: the handshake failed otherwise, as without a common version or a client certificate.
	TLSFailed Kind = "TLSFailed"
	// Unreachable: no connection for another reason.
	Unreachable Kind = "Unreachable"
)

// Class groups kinds of errors by what a follower is told.
type Class int

// The classes.
const (
	Failed        Class = iota // no details
	Busy                       // Dify or the model is overloaded or down
	OutOfQuota                 // see QuotaExceeded
	Misconfigured              // the bot's or the app's configuration is wrong
	TimedOut                   // it took too long
	Filtered                   // see ContentFiltered
	TooLong                    // the conversation or question is too long; a new conversation may help
)

// Health is what an error says about Dify as a whole.
type Health int

// The states of health.
const (
	Unknown Health = iota
	Up             // the failure is that of the question or the configuration
	Down           // other questions would fail too
)

// trait has the properties of a kind.
type trait struct {
	class    Class
	retries  int // useful automatic retries of a question without effects
	askAgain bool
	health   Health
}

// manyRetries leaves the number of retries to the caller's time limit.
const manyRetries = 1 << 10

var (
	misconfigured = trait{class: Misconfigured, health: Up}
	wrongAddress  = trait{class: Misconfigured}
	down          = trait{class: Busy, retries: manyRetries, askAgain: true, health: Down}
)

var traits = map[Kind]trait{
	Unauthorized:       misconfigured,
	Forbidden:          misconfigured,
	AppUnavailable:     misconfigured,
	WrongAppMode:       misconfigured,
	NotFound:           misconfigured,
	InvalidParam:       misconfigured,
	InputRefused:       misconfigured,
	ModelMisconfigured: misconfigured,
	Redirected:         misconfigured,
	HTMLResponse:       misconfigured,
	BadResponse:        misconfigured,

	ConversationGone: {class: Failed, askAgain: true, health: Up},
	RateLimited:      {class: Busy, retries: manyRetries, askAgain: true},
	ModelBusy:        {class: Busy, retries: manyRetries, askAgain: true},
	QuotaExceeded:    {class: OutOfQuota, health: Up},
	ContentFiltered:  {class: Filtered, health: Up},
	ContextTooLong:   {class: TooLong, health: Up},
	TooLarge:         {class: TooLong, health: Up},
	// The code is the same for temporary and permanent failures of the model.
	ModelError:     {class: Failed, retries: 1, askAgain: true, health: Up},
	WorkflowFailed: {class: Failed, askAgain: true, health: Up},

	Server:            down,
	Interrupted:       down,
	FirstEventTimeout: {class: TimedOut, askAgain: true, health: Down},
	IdleTimeout:       {class: TimedOut, askAgain: true},
	NotRunning:        {class: Failed, retries: 1, askAgain: true},
	FormAnswered:      {class: Failed, health: Up},
	FormExpired:       {class: Failed, health: Up},
	Suspended:         {class: Busy, askAgain: true},
	Canceled:          {class: TimedOut, askAgain: true},

	Unreachable:       down,
	ConnectionRefused: down,
	ConnectTimeout:    down,
	NoSuchHost:        wrongAddress,
	UnknownAuthority:  wrongAddress,
	BadCertificate:    wrongAddress,
	NoTLS:             wrongAddress,
	TLSRequired:       wrongAddress,
	TLSFailed:         wrongAddress,
}

// Unreachable reports whether there was no connection.
func (k Kind) Unreachable() bool {
	switch k {
	case NoSuchHost, ConnectionRefused, ConnectTimeout, UnknownAuthority, BadCertificate, NoTLS, TLSRequired, TLSFailed, Unreachable:
		return true
	default:
		return false
	}
}

// Class returns the class of errors of this kind.
func (k Kind) Class() Class { return traits[k].class }
