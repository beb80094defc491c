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

	"github.com/wechatbot/wechatbot-operator/cmd/chat/prompt"
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
	case !errors.Is(err, prompt.ErrNoReply):
		_, _ = fmt.Fprintln(t.err, "chat:", err)
	}
	return failed
}

func (t terminal) command() *cobra.Command {
	var o prompt.Options
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
		RunE:                  func(c *cobra.Command, _ []string) error { return t.chat(c.Context(), o) },
	}
	c.SetIn(t.in)
	c.SetOut(t.out)
	c.SetErr(t.err)
	s := c.Flags()
	s.StringVar(&o.Account.URL, "url", "http://127.0.0.1:8080/wechat", "the bot's URL, as set in the console")
	s.StringVar(&o.Account.Token, "token", "", "the account's token (or WECHAT_TOKEN)")
	s.StringVar(&o.Account.EncodingAESKey, "aes-key", "", "the account's EncodingAESKey (or WECHAT_AES_KEY); with it, secure mode")
	s.StringVar(&o.Account.AppID, "app-id", "", "the account's AppID; needed with --aes-key")
	s.StringVar(&o.Account.OriginalID, "original-id", wechatsim.DefaultOriginalID, "the account's original id")
	s.StringVar(&o.OpenID, "openid", "", "who you are; empty: someone new")
	s.StringVar(&o.Message, "message", "", "say this, show what comes of it, and exit; the prompt's commands work too")
	s.StringVar(&o.Connect, "connect", "", "HOST:PORT to connect to instead of the URL's, such as an ingress controller's before the domain has a DNS record (or WECHAT_CONNECT)")
	s.DurationVar(&o.Timeout, "timeout", 5*time.Second, "how long one delivery waits; WeChat's is 5s")
	return c
}

// chat takes what is secret from the environment where no flag has it.
func (t terminal) chat(ctx context.Context, o prompt.Options) error {
	for into, name := range map[*string]string{&o.Account.Token: "WECHAT_TOKEN", &o.Account.EncodingAESKey: "WECHAT_AES_KEY", &o.Connect: "WECHAT_CONNECT"} {
		if *into == "" {
			*into = t.env(name)
		}
	}
	if o.Account.Token == "" {
		return errors.New("there is no token: set --token or WECHAT_TOKEN to what the bot's Secret holds")
	}
	o.In, o.Out, o.Transport = t.in, t.out, t.transport
	return prompt.Chat(ctx, o) //nolint:wrapcheck // it says itself what is wrong
}
