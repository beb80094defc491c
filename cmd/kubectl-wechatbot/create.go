package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/cmd/kubectl-wechatbot/create"
	"github.com/wechatbot/wechatbot-operator/cmd/kubectl-wechatbot/show"
)

// creation is one call of create.
type creation struct {
	cluster *cluster
	in      *bufio.Reader
	out     io.Writer
	wishes  create.Wishes
	wait    time.Duration
}

func createCommand(a *access, env func(string) string) *cobra.Command {
	var w create.Wishes
	var output string
	var ask bool
	var wait time.Duration
	c := &cobra.Command{
		Use:   "create NAME --domain DOMAIN",
		Short: "Make a bot, and say what to type into WeChat's console",
		Long: `Make a bot: a Secret with a new Token (and with --secure a new EncodingAESKey), the app's key, and the WechatBot; wait until it is
ready, and say what to type into WeChat's console. With --ask what is missing is asked for.

Keys are taken from the environment, so that no shell keeps them: WECHATBOT_DIFY_KEY, WECHATBOT_APP_SECRET.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if output != "" && output != "yaml" {
				return fmt.Errorf("-o %s: only yaml can be written", output)
			}
			at, err := a.cluster()
			if err != nil {
				return err
			}
			w.Name, w.Namespace = args[0], at.namespace
			for into, name := range map[*string]string{&w.DifyKey: "WECHATBOT_DIFY_KEY", &w.AppSecret: "WECHATBOT_APP_SECRET"} {
				if *into == "" {
					*into = env(name)
				}
			}
			n := &creation{cluster: at, in: bufio.NewReader(c.InOrStdin()), out: c.OutOrStdout(), wishes: w, wait: wait}
			if ask {
				if err := n.ask(); err != nil {
					return err
				}
			}
			bot, err := create.New(n.wishes)
			if err != nil {
				return err //nolint:wrapcheck // it says what is missing
			}
			if output == "yaml" {
				return bot.YAML(n.out) //nolint:wrapcheck // of the terminal
			}
			return n.make(c.Context(), bot)
		},
	}
	s := c.Flags()
	s.StringVar(&w.Domain, "domain", "", "public DNS name of the bot")
	s.StringVar(&w.Path, "path", "", "path of the webhook on the domain (default /wechat)")
	s.StringVar(&w.DifyURL, "dify-url", "", "address of Dify's API, such as http://dify-api.dify.svc:5001/v1 (default Dify's cloud)")
	s.StringVar(&w.DifyKey, "dify-key", "", "the app's API key (or WECHATBOT_DIFY_KEY)")
	s.StringVar(&w.Token, "wechat-token", "", "the account's Token; one is made if it is not given")
	s.BoolVar(&w.Secure, "secure", false, "secure mode: pushes are encrypted; takes --app-id")
	s.StringVar(&w.AppID, "app-id", "", "the account's AppID")
	s.StringVar(&w.AppSecret, "app-secret", "", "the account's AppSecret, for WeChat's API (or WECHATBOT_APP_SECRET); takes --app-id")
	s.StringVar(&w.IngressClass, "ingress-class", "", "IngressClass; empty leaves it to the operator")
	s.StringVar(&w.Issuer, "issuer", "", "cert-manager issuer of the certificate: NAME or ClusterIssuer/NAME; empty leaves it to the operator")
	s.BoolVar(&w.English, "english", false, "the bot's own texts in English")
	s.StringVarP(&output, "output", "o", "", "yaml: write the objects instead of making them")
	s.BoolVar(&ask, "ask", false, "ask for what is missing")
	s.DurationVar(&wait, "wait", 5*time.Minute, "how long to wait until the bot is ready; 0 does not wait")
	return c
}

// ask asks for what a bot cannot do without.
func (n *creation) ask() error {
	for _, q := range []struct {
		what string
		into *string
	}{
		{"Public DNS name of the bot, such as bot.example.com: ", &n.wishes.Domain},
		{"API key of the Dify app (app-…): ", &n.wishes.DifyKey},
	} {
		if *q.into != "" {
			continue
		}
		if _, err := fmt.Fprint(n.out, q.what); err != nil {
			return fmt.Errorf("asking: %w", err)
		}
		line, err := n.in.ReadString('\n')
		if err != nil && !(errors.Is(err, io.EOF) && line != "") {
			return fmt.Errorf("reading the answer: %w", err)
		}
		*q.into = strings.TrimSpace(line)
	}
	return nil
}

// make makes both objects or neither.
func (n *creation) make(ctx context.Context, made *create.Bot) error {
	c := n.cluster.client
	if err := c.Create(ctx, made.Bot.DeepCopy(), client.DryRunAll); err != nil {
		return explainCreate(err, "WechatBot", made.Bot.Name)
	}
	if err := c.Create(ctx, made.Secret.DeepCopy()); err != nil {
		return explainCreate(err, "Secret", made.Secret.Name)
	}
	if err := c.Create(ctx, made.Bot.DeepCopy()); err != nil {
		undo := c.Delete(context.WithoutCancel(ctx), made.Secret.DeepCopy())
		return errors.Join(explainCreate(err, "WechatBot", made.Bot.Name), client.IgnoreNotFound(undo))
	}
	if _, err := fmt.Fprintf(n.out, "made Secret %s and WechatBot %s in namespace %s\n\n", made.Secret.Name, made.Bot.Name, made.Bot.Namespace); err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	if err := n.untilReady(ctx, made.Bot); err != nil {
		return err
	}
	return made.Console(n.out) //nolint:wrapcheck // of the terminal
}

func explainCreate(err error, kind, name string) error {
	switch {
	case apierrors.IsAlreadyExists(err):
		return fmt.Errorf("%s %s is there already: choose another name, or delete it", kind, name)
	case apierrors.IsNotFound(err) && kind == "WechatBot":
		return errors.New("this cluster knows no WechatBots: install the operator, or choose another --context")
	default:
		return fmt.Errorf("making %s %s: %w", kind, name, err)
	}
}

// untilReady waits until the bot is ready, and says what it waits for. That it is not ready in time is said too, with what
// the console needs all the same: most reasons are about the way to the bot.
func (n *creation) untilReady(ctx context.Context, bot *v1alpha1.WechatBot) error {
	if n.wait == 0 {
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, n.wait)
	defer cancel()
	said := ""
	for waiting.Err() == nil {
		ready, err := n.follow(waiting, bot, &said)
		switch {
		case err != nil && ctx.Err() == nil && waiting.Err() == nil:
			return fmt.Errorf("watching WechatBot %s: %w", bot.Name, err)
		case ready:
			_, err := fmt.Fprintln(n.out)
			return err //nolint:wrapcheck // of the terminal
		}
	}
	if ctx.Err() != nil {
		return ctx.Err() //nolint:wrapcheck // Ctrl-C
	}
	_, err := fmt.Fprintf(n.out, "it is not ready after %s: kubectl wechatbot doctor %s says more\n\n", n.wait, bot.Name)
	return err //nolint:wrapcheck // of the terminal
}

// follow watches the bot until it is ready or the watch ends, and says what has changed.
func (n *creation) follow(ctx context.Context, bot *v1alpha1.WechatBot, said *string) (ready bool, err error) {
	events, err := n.cluster.client.Watch(ctx, &v1alpha1.WechatBotList{}, client.InNamespace(bot.Namespace),
		client.MatchingFieldsSelector{Selector: fields.OneTermEqualSelector("metadata.name", bot.Name)})
	if err != nil {
		return false, err //nolint:wrapcheck // the caller says what it was
	}
	defer events.Stop()
	for {
		select {
		case <-ctx.Done():
			return false, ctx.Err() //nolint:wrapcheck // the caller knows
		case e, open := <-events.ResultChan():
			if !open {
				return false, nil
			}
			now, is := e.Object.(*v1alpha1.WechatBot)
			if !is {
				continue
			}
			c := meta.FindStatusCondition(now.Status.Conditions, v1alpha1.ConditionReady)
			if c == nil {
				continue
			}
			if text := c.Reason + ": " + c.Message; text != *said {
				*said = text
				if _, err := fmt.Fprintln(n.out, "  "+show.Printable(text)); err != nil {
					return false, err //nolint:wrapcheck // of the terminal
				}
			}
			if c.Status == metav1.ConditionTrue {
				return true, nil
			}
		}
	}
}
