// Command difysim serves a stand-in for Dify's API, for trials by hand, chaos tests and demonstrations.
//
//	difysim --listen 127.0.0.1:0 --mode chatflow --first-text 2s --total 8s --fault cut-after:3
//
// It prints the base URL of the API. Behaviour is ordered with POST /-/behaviour, and what was asked is shown by
// GET /-/calls, both from loopback only.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

// closeTime is how long connections have to end after the streams were ended.
const closeTime = 5 * time.Second

func main() { os.Exit(command(os.Args[1:], os.Stdout, os.Stderr)) }

// command runs until a signal, and gives the exit code.
func command(arguments []string, out, failures io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, arguments, out)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 2
	case err != nil:
		_, _ = fmt.Fprintln(failures, "difysim:", err)
		return 1
	}
	return 0
}

func run(ctx context.Context, arguments []string, out io.Writer) error {
	var o difysim.Options
	flags := flag.NewFlagSet("difysim", flag.ContinueOnError)
	flags.SetOutput(out)
	listen := flags.String("listen", "127.0.0.1:0", "address to serve on")
	flags.StringVar(&o.Key, "key", "", "the only valid API key (default: any that begins with app-)")
	flags.StringVar(&o.AppName, "name", "", "name of the app")
	flags.StringVar(&o.OpeningStatement, "opening", "", "opening statement of the app")
	flags.TextVar(&o.Release, "release", difysim.V1_13_3, "Dify release: 0.6.5, 1.12.1, 1.13.3 or 1.14.2")
	flags.TextVar(&o.Mode, "mode", difysim.Chat, "app mode: chat, agent or chatflow")
	flags.IntVar(&o.MaxActiveRequests, "max-active", 0, "runs at a time, 0 = no limit")
	flags.DurationVar(&o.Behaviour.FirstText, "first-text", time.Second, "time until the first text")
	flags.DurationVar(&o.Behaviour.Total, "total", 3*time.Second, "time until the end of an answer")
	flags.IntVar(&o.Behaviour.Length, "length", 0, "characters of an answer")
	flags.IntVar(&o.Behaviour.NodeBytes, "node-bytes", 0, "bytes that a chatflow's node says of itself")
	flags.TextVar(&o.Behaviour.Fault, "fault", difysim.Fault{}, "what goes wrong, as KIND or KIND:ARGUMENT")
	flags.IntVar(&o.Behaviour.Repeat, "repeat", 0, "how many calls the fault lasts, 0 = all")
	if err := flags.Parse(arguments); err != nil {
		return fmt.Errorf("reading flags: %w", err)
	}
	if err := o.Behaviour.Validate(); err != nil {
		return fmt.Errorf("reading flags: %w", err)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", *listen)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	return serve(ctx, listener, difysim.New(o), out)
}

// serve answers until the context ends, then ends all streams.
func serve(ctx context.Context, listener net.Listener, dify *difysim.Server, out io.Writer) error {
	mux := http.NewServeMux()
	mux.Handle("/", dify)
	mux.Handle("/-/", dify.Control())
	server := &http.Server{Handler: mux, ReadHeaderTimeout: closeTime}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	_, _ = fmt.Fprintf(out, "http://%s/v1\n", listener.Addr())
	select {
	case err := <-served:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	dify.Close()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	err := server.Shutdown(closing)
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	if err != nil {
		return fmt.Errorf("stopping: %w", err)
	}
	return nil
}
