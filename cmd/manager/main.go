// Command manager is the operator: it runs a webhook server for each WechatBot of the cluster, or of some namespaces.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/zapr"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/wechatbot/wechatbot-operator/controllers"
)

// version is what --version prints; the linker sets it in a release and in an image.
var version = "dev"

func main() {
	if err := command().Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "manager:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var f flags
	c := &cobra.Command{
		Use:           "manager",
		Short:         "Runs the bots that WechatBot objects describe",
		Version:       version,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, os.Interrupt)
			defer stop()
			context.AfterFunc(ctx, stop) // a second signal ends the process at once
			return run(ctx, &f)
		},
	}
	c.SetContext(context.Background())
	f.define(c.Flags())
	c.AddCommand(checkCommand())
	c.CompletionOptions.DisableDefaultCmd = true
	return c
}

// run works until ctx ends, or until leadership is lost, which is an error: another operator may be at work already.
func run(ctx context.Context, f *flags) error {
	options, err := f.options()
	if err != nil {
		return err
	}
	logger, err := newLogger(f.logLevel, f.logFormat)
	if err != nil {
		return err
	}
	defer func() { _ = logger.Sync() }() // stderr cannot be synced on every system
	log := zapr.NewLogger(logger)
	ctrl.SetLogger(log)
	klog.SetLogger(log)

	log.Info("starting", "version", version)
	access, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the API server: %w", err)
	}
	m := f.manager
	m.Log = log
	mgr, err := controllers.NewManager(ctx, access, m, options)
	if err != nil {
		return err
	}
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("running: %w", err)
	}
	return nil
}

func newLogger(level, format string) (*zap.Logger, error) {
	at, err := zap.ParseAtomicLevel(level)
	if err != nil {
		return nil, fmt.Errorf("--log-level: %w", err)
	}
	c := zap.NewProductionConfig()
	c.Level, c.DisableStacktrace, c.DisableCaller = at, true, true
	c.EncoderConfig.TimeKey, c.EncoderConfig.EncodeTime = "time", zapcore.RFC3339NanoTimeEncoder
	c.EncoderConfig.EncodeDuration = zapcore.StringDurationEncoder
	switch format {
	case "json":
	case "console":
		c.Encoding = "console"
		c.EncoderConfig.EncodeLevel = zapcore.CapitalLevelEncoder
	default:
		return nil, fmt.Errorf("--log-format: %q is neither json nor console", format)
	}
	logger, err := c.Build()
	if err != nil {
		return nil, fmt.Errorf("making the log: %w", err)
	}
	return logger, nil
}
