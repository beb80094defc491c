// Command server answers one WeChat Official Account's followers with what a Dify app says. The operator runs one for
// each WechatBot; it runs as well without Kubernetes.
package main

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"math"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/go-logr/zapr"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/wechatbot/wechatbot-operator/api/serverlocal"
	"github.com/wechatbot/wechatbot-operator/cmd/logging"
	"github.com/wechatbot/wechatbot-operator/server"
)

// version is what --version prints; the linker sets it in a release and in an image.
var version = "dev"

func main() {
	if err := command().Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var config, local string
	var byOperator bool
	var flags logging.Flags
	c := &cobra.Command{
		Use:           "server --config FILE",
		Short:         "Answers a WeChat Official Account's followers through a Dify app",
		Version:       version,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, os.Interrupt)
			defer stop()
			// A second Ctrl-C ends the process at once. A second SIGTERM does not: a kubelet that restarts sends it again.
			context.AfterFunc(ctx, func() { signal.Reset(os.Interrupt) })
			if !cmd.Flags().Changed("local-listen") {
				local = localListen(byOperator)
			}
			return run(ctx, server.Options{ConfigPath: config, ConfigByOperator: byOperator, Local: local}, flags)
		},
	}
	c.SetContext(context.Background())
	c.Flags().StringVar(&config, "config", "", "configuration file (docs/server.md)")
	// A variable too, as a server of a release that does not know the flag would end by it.
	c.Flags().BoolVar(&byOperator, "config-by-operator", os.Getenv("CONFIG_BY_OPERATOR") == "true",
		"an operator writes the file: fields that are not known are logged and counted, as it may be newer than this server")
	c.Flags().StringVar(&local, "local-listen", "", fmt.Sprintf("loopback address, such as 127.0.0.1:%d, at which whoever reaches it may list, clear and stop sessions;"+
		" that one by default with --config-by-operator, else none", serverlocal.Port))
	flags.Define(c.Flags())
	if err := c.MarkFlagRequired("config"); err != nil {
		panic(err) // the flag is defined above
	}
	return c
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
