package wechat

import "errors"

// ErrUnauthenticated says that a request is not provably WeChat's; answer 403 and nothing else.
// Its text is the same for every reason, so that a stranger learns nothing; [ReasonOf] tells it to metrics.
var ErrUnauthenticated = errors.New("wechat: request is not authenticated")

// ErrUnusable says that an authenticated push cannot be handled. Answer it with [Success]:
// WeChat would repeat anything else and count it towards switching the account's pushes off.
// The error's text says what was wrong, never with the push's content.
var ErrUnusable = errors.New("wechat: push is unusable")

// ErrJSON is the ErrUnusable of a push whose data format is JSON: an Official Account's must be XML.
var ErrJSON error = unusableError("it is JSON: set the data format to XML where the server's URL is set")

// Reason is why a request was refused as unauthenticated: a few constant words, fit for a metric's label.
type Reason string

// The reasons of ErrUnauthenticated.
const (
	ReasonQuery        Reason = "query"         // malformed, oversized or ambiguous query
	ReasonSize         Reason = "size"          // body above MaxBodyBytes
	ReasonSignature    Reason = "signature"     // signature or msg_signature does not match
	ReasonWindow       Reason = "window"        // timestamp too far from now
	ReasonPlainRefused Reason = "plain_refused" // plain push to an account in secure mode
	ReasonNoKey        Reason = "no_key"        // encrypted push, but no EncodingAESKey configured
	ReasonEncryptType  Reason = "encrypt_type"  // encrypt_type is neither aes nor raw
	ReasonEnvelope     Reason = "envelope"      // the encrypted push's outer XML is malformed
	ReasonJSON         Reason = "json"          // the encrypted push's outer form is JSON
	ReasonCipher       Reason = "cipher"        // ciphertext does not open with any key, or names another AppID
)

// ReasonOf tells why err is ErrUnauthenticated; it is empty for any other error.
func ReasonOf(err error) Reason {
	refused, _ := errors.AsType[unauthenticatedError](err)
	return Reason(refused)
}

type unauthenticatedError Reason

func (unauthenticatedError) Error() string { return ErrUnauthenticated.Error() }
func (unauthenticatedError) Unwrap() error { return ErrUnauthenticated }

func refuse(r Reason) error { return unauthenticatedError(r) }

// unusableError is what is wrong with a push, in constant words.
type unusableError string

func (e unusableError) Error() string { return ErrUnusable.Error() + ": " + string(e) }
func (unusableError) Unwrap() error   { return ErrUnusable }
