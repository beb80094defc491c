package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"

	"github.com/wechatbot/wechatbot-operator/api/serverlocal"
	"github.com/wechatbot/wechatbot-operator/cmd/kubectl-wechatbot/forward"
	"github.com/wechatbot/wechatbot-operator/cmd/kubectl-wechatbot/loopback"
	"github.com/wechatbot/wechatbot-operator/cmd/kubectl-wechatbot/show"
)

// atLoopback reaches what a bot's servers tell on their loopback alone.
func (c *cluster) atLoopback(name string) *loopback.Bot {
	return &loopback.Bot{
		Name: types.NamespacedName{Namespace: c.namespace, Name: name}, Client: c.client,
		Open: func(ctx context.Context, namespace, pod string, port int) (string, error) {
			return forward.Open(ctx, c.config, namespace, pod, port)
		},
	}
}

func sessionsCommand(a *access) *cobra.Command {
	var list sessionList
	c := &cobra.Command{
		Use:   "sessions BOT",
		Short: "List the followers whom a bot remembers, and clear or stop one",
		Long: `List the followers whom a bot remembers: by alias, as in its log, with the questions that are open and since when, how many answers they
have not fetched, and what is kept of them. No openid and no text is shown. It is asked by a port-forward, which takes the right
to create pods/portforward.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.bots,
		RunE: func(c *cobra.Command, args []string) error {
			at, err := a.cluster()
			if err != nil {
				return err
			}
			return list.show(c, at.atLoopback(args[0]), args[0])
		},
	}
	s := c.Flags()
	s.IntVar(&list.limit, "limit", serverlocal.DefaultLimit, "about how many followers are shown")
	s.StringVar(&list.from, "from", "", "go on where an earlier list has ended, as it says")
	s.BoolVar(&list.open, "open", false, "only followers with an open question")
	c.AddCommand(
		a.withFollower("clear", "Forget a follower's conversation, as their own /clear does", func(ctx context.Context, bot *loopback.Bot, alias string) (string, error) {
			return "cleared", bot.Clear(ctx, alias) //nolint:wrapcheck // it says itself what is wrong
		}),
		a.withFollower("stop", "Stop a follower's running question, and tell them", func(ctx context.Context, bot *loopback.Bot, alias string) (string, error) {
			stopped, err := bot.Stop(ctx, alias)
			if !stopped {
				return "no question is open of", err //nolint:wrapcheck // it says itself what is wrong
			}
			return "stopped the question of", err //nolint:wrapcheck // it says itself what is wrong
		}))
	return c
}

// withFollower is a command that does something with one follower, and says what it was.
func (a *access) withFollower(name, short string, do func(ctx context.Context, bot *loopback.Bot, alias string) (string, error)) *cobra.Command {
	return &cobra.Command{
		Use:               name + " BOT ALIAS",
		Short:             short,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.bots,
		RunE: func(c *cobra.Command, args []string) error {
			at, err := a.cluster()
			if err != nil {
				return err
			}
			did, err := do(c.Context(), at.atLoopback(args[0]), args[1])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), did, args[1])
			return err //nolint:wrapcheck // of the terminal
		},
	}
}

// sessionList is one call of the command.
type sessionList struct {
	limit int
	from  string
	open  bool
}

// show shows pages until there are enough, or no more. What a page has beyond is shown, too: pages go on behind each other.
func (l sessionList) show(c *cobra.Command, bot *loopback.Bot, name string) error {
	if l.limit < 1 {
		return fmt.Errorf("--limit must be 1 at least, not %d", l.limit)
	}
	var found []serverlocal.Session
	seen := map[string]bool{}
	from := l.from
	for {
		about := l.limit - len(found)
		if l.open { // few of a page have one
			about = serverlocal.MaxLimit
		}
		page, err := bot.Sessions(c.Context(), from, about)
		if err != nil {
			return err //nolint:wrapcheck // it says itself what is wrong
		}
		for i := range page.Sessions {
			s := &page.Sessions[i]
			if l.open && len(s.Open) == 0 || seen[s.Alias] {
				continue
			}
			seen[s.Alias] = true
			found = append(found, *s)
		}
		if from = page.Next; from == "" || len(found) >= l.limit {
			break
		}
	}
	more := ""
	if from != "" {
		more = fmt.Sprintf("kubectl wechatbot sessions %s --from %s", name, from)
		if l.open {
			more += " --open"
		}
	}
	return show.Sessions(c.OutOrStdout(), found, more, time.Now()) //nolint:wrapcheck // of the terminal
}

func menuCommand(a *access) *cobra.Command {
	c := &cobra.Command{Use: "menu", Short: "Compare a bot's menu with WeChat's"}
	c.AddCommand(&cobra.Command{
		Use:   "diff BOT",
		Short: "Compare the menu that is configured with the one that WeChat shows",
		Long: `Compare the menu that is configured with the one that WeChat shows to followers now. Lines with - are only in WeChat, lines with +
only in the configuration. It asks WeChat through a server of the bot, by a port-forward, which takes the right to create
pods/portforward.

Exit code: 0 if both are the same, 1 if they differ, 2 if they could not be compared.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.bots,
		RunE: func(c *cobra.Command, args []string) error {
			at, err := a.cluster()
			if err != nil {
				return err
			}
			menu, err := at.atLoopback(args[0]).Menu(c.Context())
			if err != nil {
				return err //nolint:wrapcheck // it says itself what is wrong
			}
			if err := show.Menu(c.OutOrStdout(), menu); err != nil {
				return err //nolint:wrapcheck // of the terminal
			}
			if !menu.Same {
				return errFound
			}
			return nil
		},
	})
	return c
}
