package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/cmd/kubectl-wechatbot/bundle"
	"github.com/wechatbot/wechatbot-operator/cmd/kubectl-wechatbot/doctor"
	"github.com/wechatbot/wechatbot-operator/cmd/kubectl-wechatbot/inspect"
	"github.com/wechatbot/wechatbot-operator/cmd/kubectl-wechatbot/show"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

const (
	bundleLines = 2000    // of each log
	bundleLog   = 2 << 20 // bytes of each log
)

func supportBundleCommand(a *access) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "support-bundle BOT",
		Short: "Write one archive for who helps you, without secrets",
		Long: `Write one archive with what status and doctor show, the object, its events, and the last lines of the servers' logs. Secrets, openids,
the app's variables, the bot's own texts and the values of the pod template's environment are taken out. Look into it before you
give it away: tar -xzf it.`,
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
			if file == "" {
				file = "wechatbot-" + args[0] + ".tar.gz"
			}
			out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return fmt.Errorf("making the archive: %w", err)
			}
			err = at.bundle(c.Context(), out, facts)
			if closed := out.Close(); err == nil {
				err = closed
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), "wrote", file)
			return err //nolint:wrapcheck // of the terminal
		},
	}
	c.Flags().StringVarP(&file, "file", "f", "", "the archive (default wechatbot-BOT.tar.gz)")
	return c
}

// bundle writes the archive. What the user may not read is said in its place.
func (c *cluster) bundle(ctx context.Context, out io.Writer, f *inspect.Facts) error {
	b := bundle.New(out, "wechatbot-"+f.Bot.Name, time.Now(), c.secretsOf(ctx, f.Bot))
	b.YAML("bot.yaml", bundle.Bot(f.Bot))
	var text bytes.Buffer
	if err := show.Status(&text, f); err != nil {
		return err //nolint:wrapcheck // of the memory
	}
	b.Text("status.txt", text.String())
	text.Reset()
	if err := show.Findings(&text, doctor.Cluster(f)); err != nil {
		return err //nolint:wrapcheck // of the memory
	}
	b.Text("doctor.txt", text.String())
	for i := range f.Servers {
		if s := &f.Servers[i]; s.Status != nil {
			b.YAML("servers/"+s.Pod+".yaml", s.Status)
		}
	}
	c.bundlePods(ctx, b, f.Bot)
	c.bundleEvents(ctx, b, f.Bot)
	return b.Close() //nolint:wrapcheck // it says itself what it is
}

// secretsOf are the contents of the bot's Secrets that the user may read, to be taken out of everything.
func (c *cluster) secretsOf(ctx context.Context, bot *v1alpha1.WechatBot) []string {
	var found []string
	for _, ref := range desired.SecretRefs(bot) {
		if value, err := inspect.SecretKey(ctx, c.client, bot.Namespace, ref.SecretKeyRef); err == nil {
			found = append(found, value)
			if headers, err := serverconfig.TracingHeaders(serverconfig.Secret(value)); err == nil && ref.File == desired.FileTracingHeaders {
				for _, h := range headers {
					found = append(found, h.Value.Reveal())
				}
			}
		}
	}
	return found
}

func (c *cluster) bundlePods(ctx context.Context, b *bundle.Bundle, bot *v1alpha1.WechatBot) {
	var pods corev1.PodList
	err := c.client.List(ctx, &pods, client.InNamespace(bot.Namespace), client.MatchingLabels(naming.Selector(bot)))
	if err != nil {
		b.Text("pods/error.txt", err.Error())
		return
	}
	clients, err := kubernetes.NewForConfig(c.config)
	if err != nil {
		b.Text("pods/error.txt", err.Error())
		return
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		b.YAML("pods/"+pod.Name+".yaml", pod.Status)
		options := &corev1.PodLogOptions{Container: naming.ServerContainer, TailLines: new(int64(bundleLines)), LimitBytes: new(int64(bundleLog))}
		stream, err := clients.CoreV1().Pods(bot.Namespace).GetLogs(pod.Name, options).Stream(ctx)
		if err != nil {
			b.Text("logs/"+pod.Name+".log", err.Error())
			continue
		}
		lines, err := io.ReadAll(io.LimitReader(stream, bundleLog))
		_ = stream.Close() // nothing is written
		if err != nil {
			lines = append(lines, "\n"+err.Error()...)
		}
		b.Text("logs/"+pod.Name+".log", string(lines))
	}
}

func (c *cluster) bundleEvents(ctx context.Context, b *bundle.Bundle, bot *v1alpha1.WechatBot) {
	var events corev1.EventList
	err := c.client.List(ctx, &events, client.InNamespace(bot.Namespace), client.MatchingFields{"involvedObject.name": bot.Name})
	if err != nil {
		b.Text("events.txt", err.Error())
		return
	}
	var text strings.Builder
	for i := range events.Items {
		e := &events.Items[i]
		fmt.Fprintf(&text, "%s %s %s %s: %s\n", e.LastTimestamp.UTC().Format(time.RFC3339), e.Type, e.InvolvedObject.Kind, e.Reason, show.Printable(e.Message))
	}
	b.Text("events.txt", text.String())
}
