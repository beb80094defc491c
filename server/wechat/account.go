package wechat

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MaxBodyBytes is the largest body that Open looks at. Plain pushes are below 4 KiB, encrypted ones below 16 KiB.
const MaxBodyBytes = 256 << 10

// DefaultWindow is how far a request's timestamp may be off when Options does not say.
const DefaultWindow = 10 * time.Minute

// Options configure an Account, as its owner entered them under 服务器配置 of WeChat's console.
type Options struct {
	Tokens          []string      // current first; the others are accepted during a rotation. 3 to 32 characters each
	AppID           string        // needed with a key
	EncodingAESKeys []string      // current first; none means plain mode
	AllowPlain      bool          // accept plain pushes though there is a key (兼容模式, or a switch of modes under way)
	OriginalID      string        // gh_…; when set, pushes for another account are unusable
	Window          time.Duration // how far a request's timestamp may be off; 0 means DefaultWindow
}

// String keeps tokens and keys out of logs.
func (*Options) String() string { return "wechat.Options" }

// GoString does the same for %#v.
func (o *Options) GoString() string { return o.String() }

// Account is one Official Account as a server sees it. It is immutable and safe for concurrent use.
type Account struct {
	tokens     []string
	ciphers    []*Cipher
	allowPlain bool
	originalID string
	window     int64 // seconds
}

// NewAccount checks the options. Errors name the option, and never show a token or key.
func NewAccount(o Options) (*Account, error) {
	if len(o.Tokens) == 0 {
		return nil, errors.New("no token")
	}
	for i, token := range o.Tokens {
		if err := checkToken(token); err != nil {
			return nil, fmt.Errorf("token %d: %w", i+1, err)
		}
	}
	a := &Account{tokens: slices.Clone(o.Tokens), allowPlain: o.AllowPlain, originalID: o.OriginalID}
	for i, key := range o.EncodingAESKeys {
		c, err := NewCipher(key, o.AppID)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		a.ciphers = append(a.ciphers, c)
	}
	if o.OriginalID != "" && !isID(o.OriginalID) {
		return nil, errors.New("original id is malformed")
	}
	if o.Window < 0 {
		return nil, errors.New("window is negative")
	}
	window := o.Window
	if window == 0 {
		window = DefaultWindow
	}
	a.window = int64(window / time.Second)
	return a, nil
}

// checkToken is strict on what gets into a Secret by accident (a line break, a quoted value is too long) and lenient on the alphabet.
func checkToken(token string) error {
	if len(token) < 3 || len(token) > 32 {
		return fmt.Errorf("has %d characters instead of 3 to 32", len(token))
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("has white space or another character that WeChat does not accept")
	}
	return nil
}

// String keeps tokens and keys out of logs.
func (*Account) String() string { return "wechat.Account" }

// GoString does the same for %#v.
func (a *Account) GoString() string { return a.String() }

// VerifyURL answers WeChat's GET, sent when the URL is saved: the body to write is exactly echo. It is signed by signature in
// every mode, and echostr comes in clear (the encrypted one is WeCom's). Every error is ErrUnauthenticated.
func (a *Account) VerifyURL(q Query, now time.Time) (echo string, err error) {
	if q.EchoStr == "" {
		return "", refuse(ReasonQuery)
	}
	if _, ok := a.tokenOf(q.Signature, &q, nil); !ok {
		return "", refuse(ReasonSignature)
	}
	if _, err := a.sentAt(q.Timestamp, now); err != nil {
		return "", err
	}
	return q.EchoStr, nil
}

// Open authenticates, decrypts and parses a push. Its error is ErrUnauthenticated (answer 403) or ErrUnusable
// (answer Success). The body is not kept, and not changed.
//
// In secure mode (a key is configured) only msg_signature counts, which covers the content; a plain push is refused
// unless Options.AllowPlain. The plain half of a push in compatible mode is never read. In plain mode WeChat's signature
// does not cover the body: whoever has seen one URL can forge pushes until its timestamp leaves the window.
func (a *Account) Open(q Query, body []byte, now time.Time) (*Push, error) {
	opened, err := a.authenticate(&q, body, now)
	if err != nil {
		return nil, err
	}
	p, err := parsePush(opened.content, a.originalID)
	if err != nil {
		return nil, err
	}
	p.sentAt, p.token, p.cipher = opened.sentAt, opened.token, opened.cipher
	return p, nil
}

// Precheck checks the query of a push before its body is read. If it returns an error, Open would return the same. signed
// reports whether the query has a valid signature, which does not cover the body. In secure mode only msg_signature is
// required.
func (a *Account) Precheck(q Query, now time.Time) (signed bool, err error) {
	if err := a.checkMode(&q); err != nil {
		return false, err
	}
	_, signed = a.tokenOf(q.Signature, &q, nil)
	if !signed && q.EncryptType != encryptedAES {
		return false, refuse(ReasonSignature)
	}
	if !signed && q.MsgSignature == "" {
		return false, refuse(ReasonSignature)
	}
	_, err = a.sentAt(q.Timestamp, now)
	return signed, err
}

const encryptedAES = "aes" // what encrypt_type says of an encrypted push

// checkMode refuses a push that is not of the account's mode.
func (a *Account) checkMode(q *Query) error {
	switch q.EncryptType {
	case encryptedAES:
		if len(a.ciphers) == 0 {
			return refuse(ReasonNoKey)
		}
	case "", "raw":
		if len(a.ciphers) > 0 && !a.allowPlain {
			return refuse(ReasonPlainRefused)
		}
	default:
		return refuse(ReasonEncryptType)
	}
	return nil
}

// opened is an authenticated push before it is parsed.
type opened struct {
	content []byte
	sentAt  int64
	token   string
	cipher  *Cipher // nil if the push was plain
}

// authenticate gives back content only of a push that is WeChat's.
func (a *Account) authenticate(q *Query, body []byte, now time.Time) (opened, error) {
	if len(body) > MaxBodyBytes {
		return opened{}, refuse(ReasonSize)
	}
	if err := a.checkMode(q); err != nil {
		return opened{}, err
	}
	var o opened
	var err error
	if q.EncryptType == encryptedAES {
		o, err = a.unseal(q, body)
	} else {
		o, err = a.acceptPlain(q, body)
	}
	if err != nil {
		return opened{}, err
	}
	if o.sentAt, err = a.sentAt(q.Timestamp, now); err != nil {
		return opened{}, err
	}
	return o, nil
}

func (a *Account) acceptPlain(q *Query, body []byte) (opened, error) {
	token, ok := a.tokenOf(q.Signature, q, nil)
	if !ok {
		return opened{}, refuse(ReasonSignature)
	}
	return opened{content: body, token: token}, nil
}

func (a *Account) unseal(q *Query, body []byte) (opened, error) {
	if isJSON(body) {
		return opened{}, refuse(ReasonJSON)
	}
	encrypt := encryptElement(body)
	if len(encrypt) == 0 { // with no text msg_signature would be the plain signature
		return opened{}, refuse(ReasonEnvelope)
	}
	token, ok := a.tokenOf(q.MsgSignature, q, encrypt)
	if !ok {
		return opened{}, refuse(ReasonSignature)
	}
	for _, c := range a.ciphers {
		if content, err := c.open(encrypt); err == nil {
			return opened{content: content, token: token, cipher: c}, nil
		}
	}
	return opened{}, refuse(ReasonCipher)
}

// encryptElement is the text of an envelope's one <Encrypt>, empty if there is none or the envelope is malformed. In
// compatible mode the envelope has the plain push beside it, a follower's control characters included.
func encryptElement(body []byte) []byte {
	body, ok := legalise(body)
	if !ok {
		return nil
	}
	r := newReader(body)
	r.verbatim = true
	encrypt, err := readEncrypt(&r)
	for n := r.texts; err != nil && n >= 0; n-- { // as parsePush does
		again := newReader(body)
		again.verbatim, again.toLastEnd = true, n
		if n == 0 {
			again.toLastEnd = everyText
		}
		encrypt, err = readEncrypt(&again)
	}
	return encrypt
}

func readEncrypt(r *reader) (encrypt []byte, err error) {
	for r.next() {
		if r.parent != nil || !bytes.Equal(r.name, []byte("Encrypt")) {
			continue
		}
		if encrypt != nil || r.nested {
			return nil, unusableError("more than one Encrypt")
		}
		encrypt = r.value
	}
	if r.err != nil {
		return nil, r.err
	}
	return encrypt, nil
}

// tokenOf is the token that made the signature given, over the query's timestamp and nonce and over encrypt, if any.
func (a *Account) tokenOf(given string, q *Query, encrypt []byte) (token string, ok bool) {
	for _, token := range a.tokens {
		if matches(signature([]byte(token), []byte(q.Timestamp), []byte(q.Nonce), encrypt), given) {
			return token, true
		}
	}
	return "", false
}

// sentAt reads a timestamp, Unix seconds, that must lie in the window around now.
func (a *Account) sentAt(timestamp string, now time.Time) (int64, error) {
	seconds, err := strconv.ParseUint(timestamp, 10, 63) // takes no sign
	if err != nil {
		return 0, refuse(ReasonWindow)
	}
	sent := int64(seconds)
	if off := now.Unix() - sent; off > a.window || off < -a.window {
		return 0, refuse(ReasonWindow)
	}
	return sent, nil
}
