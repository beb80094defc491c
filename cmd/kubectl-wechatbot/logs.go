package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/cmd/kubectl-wechatbot/show"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// logs is one call of the command.
type logs struct {
	out     *lines
	options corev1.PodLogOptions
	only    string // lines with it
}

func logsCommand(a *access) *cobra.Command {
	l := &logs{options: corev1.PodLogOptions{Container: naming.ServerContainer}}
	var since time.Duration
	var tail int64
	c := &cobra.Command{
		Use:   "logs BOT",
		Short: "Show the logs of all webhook servers of a bot",
		Long: `Show the logs of all webhook servers of a bot, each line after its pod's name. With --only, the lines that hold some words: the alias of
a follower, say, or the key of a message.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.bots,
		RunE: func(c *cobra.Command, args []string) error {
			at, err := a.cluster()
			if err != nil {
				return err
			}
			l.out = &lines{w: c.OutOrStdout()}
			if since > 0 {
				l.options.SinceSeconds = new(int64((since + time.Second - 1) / time.Second))
			}
			if tail >= 0 {
				l.options.TailLines = &tail
			}
			return l.show(c.Context(), at, args[0])
		},
	}
	s := c.Flags()
	s.BoolVarP(&l.options.Follow, "follow", "f", false, "go on as lines come")
	s.BoolVar(&l.options.Previous, "previous", false, "of the containers before these")
	s.DurationVar(&since, "since", 0, "lines of this long, such as 10m; 0: all")
	s.Int64Var(&tail, "tail", -1, "the last lines of each pod; -1: all")
	s.StringVar(&l.only, "only", "", "lines that hold these words")
	return c
}

func (l *logs) show(ctx context.Context, at *cluster, name string) error {
	clients, err := kubernetes.NewForConfig(at.config)
	if err != nil {
		return fmt.Errorf("finding the cluster: %w", err)
	}
	var pods corev1.PodList
	bot := new(v1alpha1.WechatBot)
	bot.Name = name
	if err := at.client.List(ctx, &pods, client.InNamespace(at.namespace), client.MatchingLabels(naming.Selector(bot))); err != nil {
		return fmt.Errorf("listing the pods: %w", err)
	}
	if len(pods.Items) == 0 {
		return fmt.Errorf("bot %s has no pods in namespace %s: kubectl wechatbot doctor %s says why", name, at.namespace, name)
	}
	errs := make([]error, len(pods.Items))
	var all sync.WaitGroup
	for i := range pods.Items {
		pod := pods.Items[i].Name
		all.Go(func() {
			stream, err := clients.CoreV1().Pods(at.namespace).GetLogs(pod, &l.options).Stream(ctx)
			if err != nil {
				errs[i] = fmt.Errorf("the log of pod %s: %w", pod, err)
				return
			}
			defer func() { _ = stream.Close() }() // nothing is written
			errs[i] = l.copy(pod, stream)
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		return nil //nolint:nilerr // Ctrl-C is the way to end --follow
	}
	return errors.Join(errs...)
}

// copy writes the lines of one pod.
func (l *logs) copy(pod string, log io.Reader) error {
	const longest = 1 << 20
	scanner := bufio.NewScanner(log)
	scanner.Buffer(nil, longest)
	for scanner.Scan() {
		if line := scanner.Text(); strings.Contains(line, l.only) {
			if err := l.out.write(pod + " " + show.Printable(line)); err != nil {
				return err
			}
		}
	}
	if err := scanner.Err(); err != nil {
		return fmt.Errorf("the log of pod %s: %w", pod, err)
	}
	return nil
}

// lines are written whole by several at once.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) write(line string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := fmt.Fprintln(l.w, line)
	return err //nolint:wrapcheck // of the terminal
}
