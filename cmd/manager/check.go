package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers"
)

// How often check looks at its bot, and how long deleting it may take when the time for all is over.
const (
	checkPeriod   = 200 * time.Millisecond
	cleanUpPeriod = 10 * time.Second
)

// checkCommand proves that an operator is at work in a namespace. `helm test` runs it from the operator's image.
func checkCommand() *cobra.Command {
	var namespace string
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "check",
		Short: "Proves that an operator works: makes a suspended bot, waits for its status, deletes it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctrl.SetLogger(logr.Discard())
			access, err := ctrl.GetConfig()
			if err != nil {
				return fmt.Errorf("finding the API server: %w", err)
			}
			api, err := client.New(access, client.Options{Scheme: controllers.Scheme()})
			if err != nil {
				return fmt.Errorf("making a client: %w", err)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, os.Interrupt)
			defer stop()
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			return check(ctx, api, namespace, cmd.OutOrStdout())
		},
	}
	c.Flags().StringVar(&namespace, "namespace", "default", "a namespace that the operator works in")
	c.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long the operator may take")
	return c
}

// check makes a bot that has no children, because it is suspended, and waits until the operator has said so in its
// status: then the CRD is served, the operator has its rights and its caches, and leads.
func check(ctx context.Context, api client.Client, namespace string, out io.Writer) (err error) {
	secret := v1alpha1.SecretKeyRef{Name: "check", Key: "none"}
	bot := &v1alpha1.WechatBot{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "check-"},
		Spec: v1alpha1.WechatBotSpec{
			Suspend: true, Domain: "check.invalid", TokenSecretRef: secret, Dify: v1alpha1.Dify{APIKeySecretRef: secret},
		},
	}
	switch err := api.Create(ctx, bot); {
	case meta.IsNoMatchError(err) || apierrors.IsNotFound(err):
		return fmt.Errorf("the CRD is not installed, or there is no namespace %s: %w", namespace, err)
	case err != nil:
		return fmt.Errorf("making a bot in namespace %s: %w", namespace, err)
	}
	defer func() {
		cleanUp, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpPeriod)
		defer cancel()
		if gone := client.IgnoreNotFound(api.Delete(cleanUp, bot)); gone != nil && err == nil {
			err = fmt.Errorf("deleting the bot %s: %w", bot.Name, gone)
		}
	}()
	made := time.Now()
	var read error
	err = wait.PollUntilContextCancel(ctx, checkPeriod, true, func(ctx context.Context) (bool, error) {
		read = api.Get(ctx, client.ObjectKeyFromObject(bot), bot)
		return read == nil && meta.IsStatusConditionTrue(bot.Status.Conditions, v1alpha1.ConditionSuspended), nil
	})
	switch {
	case err != nil && read != nil && ctx.Err() == nil:
		return fmt.Errorf("reading the bot %s: %w", bot.Name, read)
	case err != nil:
		return fmt.Errorf("no operator looked at the bot %s in namespace %s within %s: does one run and watch this namespace? its log tells",
			bot.Name, namespace, time.Since(made).Round(time.Second))
	}
	_, err = fmt.Fprintf(out, "the operator looked at a bot in namespace %s within %s\n", namespace, time.Since(made).Round(time.Millisecond))
	return err //nolint:wrapcheck // writing to the command's own output
}
