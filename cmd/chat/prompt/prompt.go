// Package prompt makes a person at a terminal a follower of a running bot: what is typed is pushed to it as WeChat would, and
// what a follower would see is shown. It knows no cluster and no flags.
package prompt

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// Options say which bot, and how to be its follower.
type Options struct {
	// Account is the bot's: URL, Token and, in secure mode, key and AppID. With a key the mode is Secure.
	Account wechatsim.Account
	// OpenID is who the follower is; empty is someone new.
	OpenID string
	// Message is said, instead of prompting; the prompt's commands work too.
	Message string
	// Timeout is how long one delivery waits; WeChat's is 5 s.
	Timeout time.Duration
	// Connect is a host:port to connect to instead of the URL's; empty is the URL's.
	Connect string
	// Transport is the network if it is nil.
	Transport http.RoundTripper
	// In is read, and Out written to.
	In  io.Reader
	Out io.Writer
}

// ErrNoReply is that of a Message that got no reply. What came of it has been shown.
var ErrNoReply = errors.New("there was no reply")

// Chat verifies the URL as WeChat's console does, then sends the message or prompts.
func Chat(ctx context.Context, o Options) error {
	if o.Account.EncodingAESKey != "" {
		o.Account.Mode = wechatsim.Secure
	}
	s := &session{in: o.In, out: o.Out, secure: o.Account.Mode == wechatsim.Secure}
	platform, err := wechatsim.New(o.Account, wechatsim.Options{
		Timeout: o.Timeout, Transport: o.Transport, Connect: o.Connect, Observer: s.observe,
	})
	if err != nil {
		return err //nolint:wrapcheck // it says itself what is wrong
	}
	if err := platform.VerifyURL(ctx); err != nil {
		return explain(err, o)
	}
	s.follower = platform.Follower(o.OpenID)
	if o.Message != "" {
		replied, err := s.do(ctx, o.Message)
		if err == nil && !replied {
			err = ErrNoReply
		}
		return err
	}
	s.say("The URL is verified (%s mode). You are %s. :help shows what you can do.\n", platform.Account().Mode, s.follower.OpenID())
	return s.prompt(ctx)
}
