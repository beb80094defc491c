// Command wechatsim is a crowd of followers: it sends questions to a running bot at a steady rate, as WeChat would deliver them, taps
// "go on" as a follower would, and prints how the bot did. With --api-listen it is WeChat's server API too, and waits for what is pushed.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(os.Stdout, nil).ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "wechatsim:", err)
		os.Exit(1)
	}
}

// command has the flags; transport is nil but in tests.
func command(out io.Writer, transport http.RoundTripper) *cobra.Command {
	account := wechatsim.Account{
		Token: os.Getenv("WECHAT_TOKEN"), EncodingAESKey: os.Getenv("WECHAT_AES_KEY"), AppSecret: os.Getenv("WECHAT_APP_SECRET"),
	}
	options := wechatsim.Options{Transport: transport}
	load := load{}
	var apiListen string
	var patience time.Duration
	c := &cobra.Command{
		Use:           "wechatsim --url URL --token TOKEN",
		Short:         "Send questions to a running bot as WeChat would, and print how it did",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(c *cobra.Command, _ []string) error {
			if account.EncodingAESKey != "" {
				account.Mode = wechatsim.Secure
			}
			platform, err := wechatsim.New(account, options)
			if err != nil {
				return err //nolint:wrapcheck // it says itself what is wrong
			}
			if err := load.check(); err != nil {
				return err
			}
			if apiListen != "" {
				stop, err := serveAPI(c.Context(), platform, apiListen, out)
				if err != nil {
					return err
				}
				defer stop()
				load.patience = patience
			}
			if err := platform.VerifyURL(c.Context()); err != nil {
				return err //nolint:wrapcheck // as above
			}
			return load.run(c.Context(), platform).write(out, platform, apiListen != "")
		},
	}
	f := c.Flags()
	f.StringVar(&account.URL, "url", "http://127.0.0.1:8080/wechat", "the bot's URL, as set in the console")
	f.StringVar(&account.Token, "token", account.Token, "the account's token (WECHAT_TOKEN)")
	f.StringVar(&account.EncodingAESKey, "aes-key", account.EncodingAESKey, "the account's EncodingAESKey; set, it means secure mode (WECHAT_AES_KEY)")
	f.StringVar(&account.AppID, "app-id", "", "the account's AppID, needed with --aes-key")
	f.StringVar(&account.OriginalID, "original-id", wechatsim.DefaultOriginalID, "the account's original id")
	f.IntVar(&options.MarkFailThreshold, "mark-fail", 0, "failed deliveries in a minute that block the account for a minute; 0 is never")
	f.IntVar(&load.followers, "followers", 50, "followers; each has one question open at a time")
	f.Float64Var(&load.rate, "rate", 10, "questions a second, of all followers together")
	f.DurationVar(&load.duration, "duration", 30*time.Second, "how long new questions are sent; those under way are finished")
	f.StringVar(&load.question, "question", "你好", "the question")
	f.StringVar(&load.fetch, "fetch", "1", "what a tap-link sends that means \"go on\"; it is tapped until a reply has none")
	f.DurationVar(&load.pause, "pause", 2*time.Second, "a follower's time between a reply and the tap")
	f.StringVar(&apiListen, "api-listen", "", "serve WeChat's server API at this address, and take orders there from this machine, below /-/")
	f.StringVar(&account.AppSecret, "app-secret", account.AppSecret, "the account's AppSecret, for --api-listen (WECHAT_APP_SECRET)")
	f.TextVar(&account.Kind, "kind", wechatsim.VerifiedService, "what sort of account it is: verified-service, verified-subscription, unverified-service, unverified-subscription, personal, test")
	f.DurationVar(&patience, "patience", time.Minute, "how long an answer by the server API is waited for")
	c.DisableFlagsInUseLine = true
	// The environment's secrets are defaults of flags; the help must not print them.
	for _, name := range []string{"token", "aes-key", "app-secret"} {
		f.Lookup(name).DefValue = ""
	}
	return c
}

// closeTime is how long calls of the server API have to end.
const closeTime = 5 * time.Second

// serveAPI serves WeChat's server API, pictures and orders until stop is called.
func serveAPI(ctx context.Context, p *wechatsim.Platform, address string, out io.Writer) (stop func(), err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("serving the server API: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", p.API())
	mux.Handle("/mmbiz_jpg/", p.Pictures())
	mux.Handle("/-/", p.Control()) //nolint:contextcheck // an agent's session is longer than the order that began it
	server := &http.Server{Handler: mux, ReadHeaderTimeout: closeTime}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	_, _ = fmt.Fprintf(out, "server API: http://%s\n", listener.Addr())
	return func() {
		p.Wait()
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		_ = server.Shutdown(closing)
		serving.Wait()
	}, nil
}

var errLoad = errors.New("--followers, --rate and --duration must be more than 0")
