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
	logger, err := f.log.Logger(true)
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
