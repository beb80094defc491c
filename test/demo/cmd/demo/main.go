// Command demo runs a bot with a stand-in for WeChat and one for Dify on this machine, and a page to talk to it. With DIFY_API_KEY in
// the environment a real Dify is asked, at DIFY_BASE_URL.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/wechatbot/wechatbot-operator/test/demo"
)

// patience is how long the server may take to finish its turns at the end: nobody waits for them any more.
const patience = 3 * time.Second

func main() {
	if err := command().Execute(); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var listen string
	var verbose bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Talk to a bot as a follower on WeChat would, without WeChat",
		Long: `Talk to a bot as a follower on WeChat would, without WeChat: runs the webhook server, a stand-in for WeChat, a
stand-in for Dify and a page on this machine.

DIFY_API_KEY    key of a Dify app (app-…): it is asked in place of the stand-in
DIFY_BASE_URL   where that Dify's API is (default https://api.dify.ai/v1)`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return run(ctx, c, demo.Options{
				Listen: listen, Log: newLog(verbose),
				DifyAPIKey: os.Getenv("DIFY_API_KEY"), DifyBaseURL: os.Getenv("DIFY_BASE_URL"),
			})
		},
	}
	c.SetContext(context.Background())
	c.Flags().StringVar(&listen, "listen", demo.DefaultListen, "the page's address; port 0 takes a free one")
	c.Flags().BoolVar(&verbose, "verbose", false, "show the server's log")
	return c
}

func newLog(verbose bool) *slog.Logger {
	level := slog.LevelError
	if verbose {
		level = slog.LevelInfo
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

func run(ctx context.Context, c *cobra.Command, o demo.Options) error {
	d, err := demo.New(ctx, o)
	if err != nil {
		return err //nolint:wrapcheck // it says itself what is wrong
	}
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	_, _ = fmt.Fprintf(c.OutOrStdout(), "Open %s   (Ctrl-C ends it)\n", d.URL())
	select {
	case err = <-done:
	case <-ctx.Done():
		select {
		case err = <-done:
		case <-time.After(patience):
		}
	}
	if closing := d.Close(); err == nil {
		err = closing
	}
	return err //nolint:wrapcheck // as above
}
