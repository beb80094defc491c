package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/cmd/chat/prompt"
	"github.com/wechatbot/wechatbot-operator/cmd/kubectl-wechatbot/forward"
	"github.com/wechatbot/wechatbot-operator/cmd/kubectl-wechatbot/inspect"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

func chatCommand(a *access) *cobra.Command {
	o := prompt.Options{Timeout: 5 * time.Second}
	var direct bool
	c := &cobra.Command{
		Use:   "chat BOT",
		Short: "Be a follower of a bot",
		Long: `Be a follower of a bot: what you type is pushed to its URL as WeChat would (signed, at most three deliveries 5 s apart), and the
reply is judged and shown as WeChat would. The Token, and of a bot in secure mode the EncodingAESKey, are read from the bot's
Secrets, which takes the right to get them; or give the Token by --wechat-token.

Exit code with --message: 0 if the bot replied, 2 if it did not.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.bots,
		RunE: func(c *cobra.Command, args []string) error {
			at, err := a.cluster()
			if err != nil {
				return err
			}
			o.In, o.Out = c.InOrStdin(), c.OutOrStdout()
			if err := at.follower(c.Context(), args[0], &o); err != nil {
				return err
			}
			if direct {
				address, err := at.toWebhook(c.Context(), args[0])
				if err != nil {
					return err
				}
				_, path, _ := strings.Cut(strings.TrimPrefix(o.Account.URL, "https://"), "/")
				o.Account.URL = "http://" + address + "/" + path
			}
			return prompt.Chat(c.Context(), o) //nolint:wrapcheck // it says itself what is wrong
		},
	}
	s := c.Flags()
	s.StringVar(&o.Account.URL, "url", "", "the bot's URL (default that of its domain)")
	s.StringVar(&o.Account.Token, "wechat-token", "", "the account's Token (default that of the bot's Secret)")
	s.StringVar(&o.OpenID, "openid", "", "who you are; empty: someone new")
	s.StringVar(&o.Message, "message", "", "say this, show what comes of it, and exit; the prompt's commands work too")
	s.StringVar(&o.Connect, "connect", "", "HOST:PORT to connect to instead of the URL's, such as the ingress controller's before the domain has a DNS record")
	s.BoolVar(&direct, "port-forward", false, "go to a pod by a port-forward, past DNS, Ingress and certificate")
	return c
}

// follower fills in what the bot and its Secrets say.
func (c *cluster) follower(ctx context.Context, name string, o *prompt.Options) error {
	bot := new(v1alpha1.WechatBot)
	at := types.NamespacedName{Namespace: c.namespace, Name: name}
	if err := c.client.Get(ctx, at, bot); err != nil {
		return inspect.Explain(err, at) //nolint:wrapcheck // it says itself what is wrong
	}
	if o.Account.URL == "" {
		o.Account.URL = desired.URL(bot)
	}
	o.Account.AppID, o.Account.OriginalID = bot.Spec.WeChat.AppID, bot.Spec.WeChat.OriginalID
	if o.Account.Token == "" {
		token, err := inspect.SecretKey(ctx, c.client, bot.Namespace, bot.Spec.TokenSecretRef)
		if err != nil {
			return fmt.Errorf("%w; with --wechat-token you need no right to read it", err)
		}
		o.Account.Token = token
	}
	if ref := bot.Spec.WeChat.EncodingAESKeySecretRef; ref != nil {
		key, err := inspect.SecretKey(ctx, c.client, bot.Namespace, *ref)
		if err != nil {
			return err //nolint:wrapcheck // it says itself what is wrong
		}
		o.Account.EncodingAESKey = key
	}
	return nil
}

const webhookPort = 8080

// toWebhook opens a way to the webhook of a pod that serves.
func (c *cluster) toWebhook(ctx context.Context, name string) (address string, err error) {
	var pods corev1.PodList
	bot := new(v1alpha1.WechatBot)
	bot.Name = name
	if err := c.client.List(ctx, &pods, client.InNamespace(c.namespace), client.MatchingLabels(naming.Selector(bot))); err != nil {
		return "", fmt.Errorf("listing the pods: %w", err)
	}
	for i := range pods.Items {
		for _, s := range pods.Items[i].Status.ContainerStatuses {
			if s.Name == naming.ServerContainer && s.Ready && pods.Items[i].DeletionTimestamp.IsZero() {
				return forward.Open(ctx, c.config, c.namespace, pods.Items[i].Name, webhookPort) //nolint:wrapcheck // it says itself what is wrong
			}
		}
	}
	return "", errors.New("no pod of the bot is ready: kubectl wechatbot doctor " + name + " says why")
}
