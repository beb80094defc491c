package main

import (
	"github.com/spf13/cobra"

	"github.com/wechatbot/wechatbot-operator/cmd/kubectl-wechatbot/show"
)

func statusCommand(a *access) *cobra.Command {
	return &cobra.Command{
		Use:   "status BOT",
		Short: "Show on one screen how a bot is",
		Long: `Show on one screen how a bot is: its conditions, its webhook servers and what they say of themselves, the account, and what to do
next. The servers are asked by a port-forward, which takes the right to create pods/portforward; without it the rest is shown.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.bots,
		RunE: func(c *cobra.Command, args []string) error {
			at, err := a.cluster()
			if err != nil {
				return err
			}
			facts, err := at.inspect(c.Context(), args[0])
			if err != nil {
				return err
			}
			return show.Status(c.OutOrStdout(), facts) //nolint:wrapcheck // of the terminal
		},
	}
}
