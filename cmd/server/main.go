// Command server answers one WeChat Official Account's followers with what a Dify app says. The operator runs one for
// each WechatBot; it runs as well without Kubernetes.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/go-logr/zapr"
	"github.com/spf13/pflag"
	"go.uber.org/zap"

	"github.com/wechatbot/wechatbot-operator/api/serverlocal"
	"github.com/wechatbot/wechatbot-operator/cmd/logging"
	"github.com/wechatbot/wechatbot-operator/server"
)

// version is what --version prints; the linker sets it in a release and in an image.
var version = "dev"

func main() {
	if err := command(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}

// command does what the arguments say. With flags of pflag's alone an idle server is smaller by what cobra is.
func command(ctx context.Context, args []string, out io.Writer) error {
	var config, local string
	var byOperator, help, shown bool
	var logs logging.Flags
	f := pflag.NewFlagSet("server", pflag.ContinueOnError)
	f.StringVar(&config, "config", "", "configuration file (docs/server.md)")
	// A variable too, as a server of a release that does not know the flag would end by it.
	f.BoolVar(&byOperator, "config-by-operator", os.Getenv("CONFIG_BY_OPERATOR") == "true",
		"an operator writes the file: fields that are not known are logged and counted, as it may be newer than this server")
	f.StringVar(&local, "local-listen", "", fmt.Sprintf("loopback address, such as 127.0.0.1:%d, at which whoever reaches it may list, clear and stop sessions;"+
		" that one by default with --config-by-operator, else none", serverlocal.Port))
	logs.Define(f)
	f.BoolVarP(&help, "help", "h", false, "this text")
	f.BoolVarP(&shown, "version", "v", false, "the version")
	f.SetOutput(io.Discard)
	err := f.Parse(args)
	switch {
	case err != nil:
		return err
	case help:
		_, err := fmt.Fprintf(out, "Answers a WeChat Official Account's followers through a Dify app\n\nUsage:\n  server --config FILE [flags]\n\nFlags:\n%s", f.FlagUsages())
		return err
	case shown:
		_, err := fmt.Fprintln(out, "server version", version)
		return err
	case f.NArg() > 0:
		return fmt.Errorf("unknown argument %q: all that is said to the server are flags", f.Arg(0))
	case config == "":
		return errors.New("--config FILE is missing: the server's configuration (docs/server.md)")
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer stop()
	// A second Ctrl-C ends the process at once. A second SIGTERM does not: a kubelet that restarts sends it again.
	context.AfterFunc(ctx, func() { signal.Reset(os.Interrupt) })
	if !f.Changed("local-listen") {
		local = localListen(byOperator)
	}
	return run(ctx, server.Options{ConfigPath: config, ConfigByOperator: byOperator, Local: local}, logs)
}

// localListen is where a server listens for kubectl wechatbot if no flag says it: in a pod.
func localListen(byOperator bool) string {
	if !byOperator {
		return ""
	}
	return fmt.Sprintf("127.0.0.1:%d", serverlocal.Port)
}

func run(ctx context.Context, o server.Options, flags logging.Flags) error {
	logger, err := flags.Logger(false)
	if err != nil {
		return err
	}
	defer func() { _ = logger.Sync() }() // stderr cannot be synced on every system
	if o.ConfigByOperator {
		debug.SetMemoryLimit(belowContainer(debug.SetMemoryLimit(-1)))
	}
	o.Log, o.HTTPLog = slog.New(logr.ToSlogHandler(zapr.NewLogger(logger))), httpLog(logger)
	o.Host, o.IP, o.Version = os.Getenv("POD_NAME"), os.Getenv("POD_IP"), version
	s, err := server.New(o) //nolint:contextcheck // the listeners live as long as the server
	if err != nil {
		return err
	}
	return s.Run(ctx)
}

// belowContainer is the soft limit of memory in a container whose own limit is GOMEMLIMIT, as the operator gives it. The
// kernel counts more than Go does: code, and what sockets buffer.
func belowContainer(limit int64) int64 {
	if limit == math.MaxInt64 {
		return limit // the container has none
	}
	return limit - limit/8
}

// httpLog takes what net/http says of broken connections: scanners cause it, so it is for debugging only.
func httpLog(l *zap.Logger) *log.Logger {
	std, err := zap.NewStdLogAt(l, zap.DebugLevel)
	if err != nil {
		panic(err) // the level is a constant
	}
	return std
}
