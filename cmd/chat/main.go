// Command chat makes you a follower: it sends what you type to a running bot exactly as WeChat would, and shows what a follower would
// see, each delivery included. It needs no WeChat account.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// Exit codes: 0 after --message that got a reply, and after a prompt that was left; failed for everything that did not go well;
// interrupted after --message that Ctrl-C ended.
const (
	failed      = 1
	interrupted = 130
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := terminal{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Getenv}.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// terminal is what the command is connected to.
type terminal struct {
	in        io.Reader
	out, err  io.Writer
	env       func(string) string
	transport http.RoundTripper // nil: the network
}

// errFailed ends the command with failed when everything has been said already.
var errFailed = errors.New("failed")

// run gives the exit code.
func (t terminal) run(ctx context.Context, args []string) int {
	c := t.command() //nolint:contextcheck // cobra hands the context over
	c.SetArgs(args)
	err := c.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil:
		return interrupted
	case !errors.Is(err, errFailed):
		_, _ = fmt.Fprintln(t.err, "chat:", err)
	}
	return failed
}

// flags are the command's settings.
type flags struct {
	account         wechatsim.Account
	openid, message string
	timeout         time.Duration
	connect         string
}

func (t terminal) command() *cobra.Command {
	var f flags
	c := &cobra.Command{
		Use:   "chat --url URL --token TOKEN",
		Short: "Be a follower of a running bot",
		Long: `Be a follower of a running bot: what you type is pushed to it as WeChat would (signed, at most three
deliveries 5 s apart), and the reply is judged and shown as WeChat would.

Exit code with --message: 0 if the bot replied, 1 if it did not.`,
		Args:                  cobra.NoArgs,
		SilenceUsage:          true,
		SilenceErrors:         true,
		DisableFlagsInUseLine: true,
		RunE:                  func(c *cobra.Command, _ []string) error { return t.chat(c.Context(), f) },
	}
	c.SetIn(t.in)
	c.SetOut(t.out)
	c.SetErr(t.err)
	s := c.Flags()
	s.StringVar(&f.account.URL, "url", "http://127.0.0.1:8080/wechat", "the bot's URL, as set in the console")
	s.StringVar(&f.account.Token, "token", "", "the account's token (or WECHAT_TOKEN)")
	s.StringVar(&f.account.EncodingAESKey, "aes-key", "", "the account's EncodingAESKey (or WECHAT_AES_KEY); with it, secure mode")
	s.StringVar(&f.account.AppID, "app-id", "", "the account's AppID; needed with --aes-key")
	s.StringVar(&f.account.OriginalID, "original-id", wechatsim.DefaultOriginalID, "the account's original id")
	s.StringVar(&f.openid, "openid", "", "who you are; empty: someone new")
	s.StringVar(&f.message, "message", "", "say this, show what comes of it, and exit; the prompt's commands work too")
	s.StringVar(&f.connect, "connect", "", "HOST:PORT to connect to instead of the URL's, such as an ingress controller's before the domain has a DNS record (or WECHAT_CONNECT)")
	s.DurationVar(&f.timeout, "timeout", 5*time.Second, "how long one delivery waits; WeChat's is 5s")
	return c
}

// chat verifies the URL as the console does, then sends the message or prompts.
func (t terminal) chat(ctx context.Context, f flags) error {
	if f.account.Token == "" {
		f.account.Token = t.env("WECHAT_TOKEN")
	}
	if f.account.EncodingAESKey == "" {
		f.account.EncodingAESKey = t.env("WECHAT_AES_KEY")
	}
	if f.connect == "" {
		f.connect = t.env("WECHAT_CONNECT")
	}
	if f.account.Token == "" {
		return errors.New("there is no token: set --token or WECHAT_TOKEN to what the bot's Secret holds")
	}
	if f.account.EncodingAESKey != "" {
		f.account.Mode = wechatsim.Secure
	}
	s := &session{in: t.in, out: t.out, secure: f.account.Mode == wechatsim.Secure}
	platform, err := wechatsim.New(f.account, wechatsim.Options{
		Timeout: f.timeout, Transport: t.transport, Connect: f.connect, Observer: s.observe,
	})
	if err != nil {
		return err //nolint:wrapcheck // it says itself what is wrong
	}
	if err := platform.VerifyURL(ctx); err != nil {
		return explain(err, f)
	}
	s.follower = platform.Follower(f.openid)
	if f.message != "" {
		replied, err := s.do(ctx, f.message)
		if err == nil && !replied {
			err = errFailed
		}
		return err
	}
	s.say("The URL is verified (%s mode). You are %s. :help shows what you can do.\n", platform.Account().Mode, s.follower.OpenID())
	return s.prompt(ctx)
}
