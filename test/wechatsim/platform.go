// Package wechatsim stands in for WeChat's platform: it pushes what a follower does to an Official Account's URL, waits, pushes again,
// judges what comes back as WeChat would, and keeps what the follower sees of it. It also is WeChat's server API of that account
// ([Platform.API]), with its rules, and whatever goes wrong with it by order.
//
// It knows the wire and nothing of any server behind it: no turn, no Dify, no Kubernetes. All waiting is done with timers and contexts,
// so that it runs on testing/synctest's clock; [HandlerTransport] then replaces the sockets.
//
// Where WeChat's behaviour is published or was observed, the code says so; where neither is known, it is the stricter of what may be.
package wechatsim

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/wechat"
)

// Mode is how the account's messages travel (消息加解密方式 in the console).
type Mode int

const (
	// Plain sends the message as it is (明文模式).
	Plain Mode = iota
	// Compatible sends the message as it is together with its encrypted copy, and takes either form as a reply (兼容模式).
	Compatible
	// Secure sends the encrypted message only, and takes nothing else as a reply (安全模式).
	Secure
)

// String gives the mode's name in English.
func (m Mode) String() string {
	switch m {
	case Plain:
		return "plain"
	case Compatible:
		return "compatible"
	case Secure:
		return "secure"
	default:
		return fmt.Sprintf("Mode(%d)", int(m))
	}
}

// DefaultOriginalID is the original id of an account that names none.
const DefaultOriginalID = "gh_0123456789ab"

// Account is the Official Account as its console knows it.
type Account struct {
	// URL is where pushes go. Its own query parameters are kept, WeChat's are appended. The console allows ports 80 and 443 only;
	// any port is taken here, for a server on the developer's machine.
	URL string
	// Token signs every push.
	Token string
	// EncodingAESKey, 43 characters, and AppID are needed in every mode but Plain.
	EncodingAESKey, AppID string
	// OriginalID (gh_…) is the account's name in messages; empty means DefaultOriginalID.
	OriginalID string
	Mode       Mode
	// Kind says what it may call of the server API; the zero value may call everything.
	Kind AccountKind
	// AppSecret is what a token is given for. Without one none is.
	AppSecret string
}

// Options say how the platform behaves. The zero value is WeChat's documented behaviour without MarkFail.
type Options struct {
	// Timeout is what one delivery may take, from name resolution to the reply's last byte; default 5 s.
	// It is also the distance between the starts of two deliveries of one message.
	Timeout time.Duration
	// Deliveries is how often one message is pushed at most; default 3.
	Deliveries int
	// MarkFailThreshold is the number of failed deliveries within MarkFailWindow that blocks the account for MarkFailBlock.
	// 0 means never. WeChat does not publish its own threshold.
	MarkFailThreshold int
	// MarkFailWindow is the time over which failures are counted; default 1 min.
	MarkFailWindow time.Duration
	// MarkFailBlock is how long nothing is pushed after that; default 1 min.
	MarkFailBlock time.Duration
	// Transport carries the requests; nil opens a new connection for each, as WeChat does. A redirect is never followed.
	Transport http.RoundTripper
	// Connect, if set, is the host:port that is connected to whatever the URL's host is; the name in TLS and in the requests
	// stays the URL's. For a bot whose domain has no DNS record yet. Without meaning if Transport is set.
	Connect string
	// RootCAs are the authorities whose certificates are trusted; nil means the system's. Without meaning if Transport is set.
	RootCAs *x509.CertPool
	// Observer, if set, is told of everything as it happens, in the goroutine of the follower concerned: it must be
	// quick and safe for concurrent use.
	Observer func(Event)
	// Latency is what every call of the server API takes.
	Latency time.Duration
	// PictureURL is where followers' pictures are said to be, with what is served by Pictures; empty is "http://mmbiz.qpic.cn".
	PictureURL string
}

// Platform is WeChat's side of one Official Account. It is safe for concurrent use; a follower costs a few hundred bytes
// while nothing of theirs is under way.
type Platform struct {
	account   Account
	options   Options
	url       *url.URL
	cipher    *wechat.Cipher // nil in Plain mode
	transport http.RoundTripper
	marks     *markFail
	stats     counters
	msgID     atomic.Int64
	server    *server

	mu        sync.Mutex
	followers map[string]*Follower
}

// New makes the platform of account a. The error says what the console would refuse; it shows neither token nor key.
func New(a Account, o Options) (*Platform, error) {
	target, err := url.Parse(a.URL)
	if err != nil {
		return nil, errors.New("the account's URL cannot be parsed")
	}
	if target.Host == "" || (target.Scheme != "http" && target.Scheme != "https") {
		return nil, errors.New("the account's URL must start with http:// or https:// and name a host")
	}
	if len(a.Token) < 3 || len(a.Token) > 32 {
		return nil, fmt.Errorf("the account's token must have 3 to 32 characters, it has %d", len(a.Token))
	}
	if a.OriginalID == "" {
		a.OriginalID = DefaultOriginalID
	}
	p := &Platform{account: a, options: o.withDefaults(), url: target, followers: make(map[string]*Follower)}
	if a.Mode != Plain {
		if a.AppID == "" {
			return nil, fmt.Errorf("%s mode needs the account's AppID", a.Mode)
		}
		if p.cipher, err = wechat.NewCipher(a.EncodingAESKey, a.AppID); err != nil {
			return nil, fmt.Errorf("reading the account's EncodingAESKey: %w", err)
		}
	}
	p.transport = p.options.Transport
	if p.transport == nil {
		p.transport = p.options.connections()
	}
	p.marks = newMarkFail(p.options)
	p.server = newServer(p)
	return p, nil
}

func (o Options) withDefaults() Options {
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Deliveries <= 0 {
		o.Deliveries = 3
	}
	if o.MarkFailWindow <= 0 {
		o.MarkFailWindow = time.Minute
	}
	if o.MarkFailBlock <= 0 {
		o.MarkFailBlock = time.Minute
	}
	if o.PictureURL == "" {
		o.PictureURL = "http://mmbiz.qpic.cn"
	}
	return o
}

// connections is a transport that treats every request as WeChat's captures show it: HTTP/1.1, a connection of its own, no compression.
func (o Options) connections() *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	t := &http.Transport{
		DisableKeepAlives:  true,
		DisableCompression: true,
		Protocols:          protocols,
	}
	if o.RootCAs != nil {
		t.TLSClientConfig = &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12}
	}
	if o.Connect != "" {
		t.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, o.Connect)
		}
	}
	return t
}

// Account gives the account with its defaults filled in.
func (p *Platform) Account() Account { return p.account }

// Follower gives the follower with this openid, the same one for the same openid; an empty openid makes a new follower.
func (p *Platform) Follower(openid string) *Follower {
	if openid == "" {
		openid = "oS" + rand.Text() // 28 characters, as WeChat's have
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	f, ok := p.followers[openid]
	if !ok {
		f = &Follower{platform: p, openid: openid}
		p.followers[openid] = f
	}
	return f
}

// known gives the follower with this openid, nil if nobody has asked for one.
func (p *Platform) known(openid string) *Follower {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.followers[openid]
}

// nextMsgID gives a message id that no earlier message of this process has, and, being made of the clock, in practice none of another
// process either: a server must not take a new message of a re-used openid for a delivery of an old one.
func (p *Platform) nextMsgID(now time.Time) int64 {
	for {
		last := p.msgID.Load()
		next := max(last+1, now.UnixMicro()*10)
		if p.msgID.CompareAndSwap(last, next) {
			return next
		}
	}
}
