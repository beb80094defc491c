// Package loopback asks a bot's webhook servers what they tell only on their own pod's loopback, through a port-forward: the
// user's rights in the cluster decide. It finds the server that has the sessions. It knows nothing of what is shown.
package loopback

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/serverlocal"
	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/cmd/kubectl-wechatbot/inspect"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

const (
	callTime    = 30 * time.Second // a server looks through all its followers for one
	answerLimit = 4 << 20
	maxServers  = 8 // that are asked
)

// Bot is one bot, whose servers are asked.
type Bot struct {
	Name   types.NamespacedName
	Client client.Reader
	// Open opens a way to a port of a pod, until ctx ends, and gives its address on this machine.
	Open func(ctx context.Context, namespace, pod string, port int) (address string, err error)

	address string // of the server that has answered: pages are one server's
}

// Sessions gives a page of followers.
func (b *Bot) Sessions(ctx context.Context, from string, limit int) (*serverlocal.Sessions, error) {
	query := url.Values{"limit": {strconv.Itoa(min(max(limit, 1), serverlocal.MaxLimit))}}
	if from != "" {
		query.Set("from", from)
	}
	page := new(serverlocal.Sessions)
	return page, b.ask(ctx, http.MethodGet, "/sessions?"+query.Encode(), page)
}

// Clear forgets what a follower has asked.
func (b *Bot) Clear(ctx context.Context, alias string) error {
	return b.ask(ctx, http.MethodPost, "/sessions/"+url.PathEscape(alias)+"/clear", new(serverlocal.Done))
}

// Stop ends a follower's running question, or else the next one; false if none was open.
func (b *Bot) Stop(ctx context.Context, alias string) (stopped bool, err error) {
	done := new(serverlocal.Done)
	err = b.ask(ctx, http.MethodPost, "/sessions/"+url.PathEscape(alias)+"/stop", done)
	return done.Changed, err
}

// Menu gives the menu as it is configured and as WeChat shows it.
func (b *Bot) Menu(ctx context.Context) (*serverlocal.Menu, error) {
	menu := new(serverlocal.Menu)
	return menu, b.ask(ctx, http.MethodGet, "/menu", menu)
}

// refused is what a server has said.
type refused struct{ said serverlocal.Error }

func (r refused) Error() string { return r.said.Error }

// ask asks the server that has answered before, or one after the other until one has the sessions.
func (b *Bot) ask(ctx context.Context, method, path string, into any) error {
	if b.address != "" {
		return b.call(ctx, method, path, into)
	}
	pods, err := b.pods(ctx)
	if err != nil {
		return err
	}
	for _, pod := range pods {
		b.address, err = b.Open(ctx, b.Name.Namespace, pod, serverlocal.Port)
		if inspect.Forbidden(err) {
			return fmt.Errorf("you may not forward ports to pods of namespace %s: it takes the right to create pods/portforward", b.Name.Namespace)
		}
		if err == nil {
			err = b.call(ctx, method, path, into)
		}
		if said, ok := errors.AsType[refused](err); err == nil || ok && !said.said.Elsewhere {
			return err
		}
		b.address, err = "", fmt.Errorf("pod %s: %w", pod, err)
	}
	return err
}

// pods are those whose server runs, the ready ones first.
func (b *Bot) pods(ctx context.Context) ([]string, error) {
	bot := new(v1alpha1.WechatBot)
	if err := b.Client.Get(ctx, b.Name, bot); err != nil {
		return nil, inspect.Explain(err, b.Name) //nolint:wrapcheck // it says itself what is wrong
	}
	var pods corev1.PodList
	if err := b.Client.List(ctx, &pods, client.InNamespace(b.Name.Namespace), client.MatchingLabels(naming.Selector(bot))); err != nil {
		return nil, fmt.Errorf("listing the pods: %w", err)
	}
	slices.SortFunc(pods.Items, func(x, y corev1.Pod) int { return cmp.Compare(x.Name, y.Name) })
	var ready, others []string
	for i := range pods.Items {
		for _, c := range pods.Items[i].Status.ContainerStatuses {
			switch {
			case c.Name != naming.ServerContainer || c.State.Running == nil:
			case c.Ready && pods.Items[i].DeletionTimestamp.IsZero():
				ready = append(ready, pods.Items[i].Name)
			default:
				others = append(others, pods.Items[i].Name)
			}
		}
	}
	all := slices.Concat(ready, others)
	if len(all) == 0 {
		return nil, fmt.Errorf("no pod of the bot runs: kubectl wechatbot doctor %s says why", b.Name.Name)
	}
	return all[:min(len(all), maxServers)], nil
}

func (b *Bot) call(ctx context.Context, method, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, "http://"+b.address+path, http.NoBody)
	if err != nil {
		return fmt.Errorf("asking the server: %w", err)
	}
	request.Header.Set(serverlocal.Header, "kubectl-wechatbot")
	transport := &http.Transport{DisableKeepAlives: true} // without the environment's proxy: it is this machine's loopback
	response, err := transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("the server does not answer at port %d of its loopback: its version is older than this plugin's, or something else in "+
			"the pod has the port (its log says so): %w", serverlocal.Port, err)
	}
	defer func() { _ = response.Body.Close() }() // nothing is written
	body, err := io.ReadAll(io.LimitReader(response.Body, answerLimit))
	if err != nil {
		return fmt.Errorf("the server's answer breaks off: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		var said serverlocal.Error
		if json.Unmarshal(body, &said) != nil || said.Error == "" {
			return fmt.Errorf("the server answers %s", response.Status)
		}
		return refused{said}
	}
	var version struct {
		APIVersion string `json:"apiVersion"`
	}
	if err := errors.Join(json.NewDecoder(bytes.NewReader(body)).Decode(&version), json.Unmarshal(body, into)); err != nil || version.APIVersion != serverlocal.APIVersion {
		return errors.New("the server's version has another form of answer: use the plugin of its version")
	}
	return nil
}
