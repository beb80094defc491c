// Command dify is the Dify of the end-to-end tests, in a pod: difysim, answering the crowd's questions by the plans that
// they carry.
//
//	dify          serves on :8080
//	dify calls    prints what the one that serves was asked, as JSON
//	dify relay N  brings connections to port N to the standard output, for a server that the tests have (test/e2e/relay)
//
// Below /redirected it is one behind a proxy that leads all to a login.
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
	"syscall"
	"time"

	"github.com/wechatbot/wechatbot-operator/test/crowd"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/e2e/relay"
)

const (
	port     = ":8080"
	loginURL = "https://login.example.com/"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	run := serve
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "calls":
			run = calls
		case "relay":
			run = relayed
		}
	}
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "dify:", err)
		os.Exit(1)
	}
}

func serve(ctx context.Context) error {
	dify := difysim.New(difysim.Options{Mode: difysim.Chat, OpeningStatement: "你好！"})
	dify.Script(new(crowd.Dify).Behave)
	mux := http.NewServeMux()
	mux.Handle("/", dify)
	mux.Handle("/-/", dify.Control())
	mux.Handle("/redirected/", http.RedirectHandler(loginURL, http.StatusFound))
	server := &http.Server{Addr: port, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { dify.Close(); _ = server.Close() })
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}

// relayed ends with the standard input.
func relayed(ctx context.Context) error {
	if len(os.Args) != 3 {
		return errors.New("relaying: say the port")
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", ":"+os.Args[2])
	if err != nil {
		return fmt.Errorf("relaying: %w", err)
	}
	if err := relay.Serve(ctx, l, os.Stdin, os.Stdout); err != nil {
		return fmt.Errorf("relaying: %w", err)
	}
	return nil
}

// calls asks from the pod itself: the one that serves tells nobody else.
func calls(ctx context.Context) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1"+port+"/-/calls", http.NoBody)
	if err != nil {
		return fmt.Errorf("asking for calls: %w", err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("asking for calls: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	if _, err := io.Copy(os.Stdout, res.Body); err != nil {
		return fmt.Errorf("printing calls: %w", err)
	}
	return nil
}
