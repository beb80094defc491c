// Package inspect reads what a user may see of one bot: the object, its pods and what their servers say of themselves, the
// Ingress, the Token. What the user has no right to is noted as such, and the rest is read all the same. It judges nothing.
package inspect

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/serverstatus"
	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
	"github.com/wechatbot/wechatbot-operator/controllers/observe"
)

// Facts are what was found of one bot.
type Facts struct {
	Bot *v1alpha1.WechatBot
	// Servers are the pods of its webhook servers, by name. ServersErr is why they are not known.
	Servers    []Server
	ServersErr error
	// Addresses are those of its Ingress: IP addresses and host names. AddressesErr is why they are not known.
	Addresses    []string
	AddressesErr error
	// Token is the account's. TokenErr is why it is not known; it may be that only the user may not read it.
	Token    string
	TokenErr error
}

// Server is one pod.
type Server struct {
	Pod      string
	Ready    bool
	Restarts int32
	// Problem is why it does not start; empty if none is known.
	Problem string
	// Status is what the server says of itself; nil if Err says why not, or if it does not run.
	Status *serverstatus.Status
	Err    error
}

// Reader reads bots.
type Reader struct {
	Client client.Reader
	// Open opens a way to a port of a pod, until ctx ends, and gives its address on this machine.
	Open func(ctx context.Context, namespace, pod string, port int) (address string, err error)
}

const (
	statusTime  = 4 * time.Second
	statusLimit = 64 << 10
	maxServers  = 32 // that are asked
)

// Bot reads one bot. An error is about the bot itself.
func (r *Reader) Bot(ctx context.Context, name types.NamespacedName) (*Facts, error) {
	bot := new(v1alpha1.WechatBot)
	if err := r.Client.Get(ctx, name, bot); err != nil {
		return nil, Explain(err, name)
	}
	f := &Facts{Bot: bot}
	var all sync.WaitGroup
	all.Go(func() { f.Servers, f.ServersErr = r.servers(ctx, bot) })
	all.Go(func() { f.Addresses, f.AddressesErr = r.addresses(ctx, bot) })
	all.Go(func() { f.Token, f.TokenErr = r.token(ctx, bot) })
	all.Wait()
	return f, nil
}

// Explain says why a bot could not be read.
func Explain(err error, name types.NamespacedName) error {
	switch {
	case apierrors.IsNotFound(err) && strings.Contains(err.Error(), "could not find the requested resource"):
		return errors.New("this cluster knows no WechatBots: install the operator, or choose another --context")
	case apierrors.IsNotFound(err):
		return fmt.Errorf("there is no WechatBot %s in namespace %s: kubectl get wechatbots -A shows all", name.Name, name.Namespace)
	default:
		return fmt.Errorf("reading WechatBot %s: %w", name.Name, err)
	}
}

func (r *Reader) servers(ctx context.Context, bot *v1alpha1.WechatBot) ([]Server, error) {
	var pods corev1.PodList
	err := r.Client.List(ctx, &pods, client.InNamespace(bot.Namespace), client.MatchingLabels(naming.Selector(bot)))
	if err != nil {
		return nil, fmt.Errorf("listing the pods: %w", err)
	}
	slices.SortFunc(pods.Items, func(a, b corev1.Pod) int { return cmp.Compare(a.Name, b.Name) })
	servers := make([]Server, len(pods.Items))
	var all sync.WaitGroup
	for i := range pods.Items {
		pod, s := &pods.Items[i], &servers[i]
		s.Pod, s.Problem = pod.Name, observe.PodProblem(pod)
		running := false
		for j := range pod.Status.ContainerStatuses {
			if c := &pod.Status.ContainerStatuses[j]; c.Name == naming.ServerContainer {
				s.Ready, s.Restarts, running = c.Ready, c.RestartCount, c.State.Running != nil
			}
		}
		if running && i < maxServers {
			all.Go(func() { s.Status, s.Err = r.status(ctx, pod) })
		}
	}
	all.Wait()
	return servers, nil
}

// status asks one server how it is.
func (r *Reader) status(ctx context.Context, pod *corev1.Pod) (*serverstatus.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTime)
	defer cancel()
	address, err := r.Open(ctx, pod.Namespace, pod.Name, desired.AdminPort)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/status", http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", pod.Name, err)
	}
	transport := &http.Transport{DisableKeepAlives: true} // without the environment's proxy: it is this machine's loopback
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", pod.Name, err)
	}
	defer func() { _ = response.Body.Close() }() // nothing is written
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server answers %s: its version has no status that can be read", response.Status)
	}
	status := new(serverstatus.Status)
	if err := json.NewDecoder(io.LimitReader(response.Body, statusLimit)).Decode(status); err != nil || status.APIVersion != serverstatus.APIVersion {
		return nil, errors.New("the server's version has another form of status: use the plugin of its version")
	}
	return status, nil
}

// addresses are those of the bot's Ingress.
func (r *Reader) addresses(ctx context.Context, bot *v1alpha1.WechatBot) ([]string, error) {
	if !desired.HasIngress(bot) {
		return nil, nil
	}
	i := new(networkingv1.Ingress)
	err := r.Client.Get(ctx, client.ObjectKeyFromObject(bot), i)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("reading the Ingress: %w", err)
	}
	var found []string
	for _, at := range i.Status.LoadBalancer.Ingress {
		for _, one := range []string{at.IP, at.Hostname} {
			if one != "" {
				found = append(found, one)
			}
		}
	}
	return found, nil
}

func (r *Reader) token(ctx context.Context, bot *v1alpha1.WechatBot) (string, error) {
	return SecretKey(ctx, r.Client, bot.Namespace, bot.Spec.TokenSecretRef)
}

// SecretKey reads one key of a Secret.
func SecretKey(ctx context.Context, c client.Reader, namespace string, ref v1alpha1.SecretKeyRef) (string, error) {
	secret := new(corev1.Secret)
	if err := c.Get(ctx, types.NamespacedName{Namespace: namespace, Name: ref.Name}, secret); err != nil {
		return "", fmt.Errorf("reading Secret %s: %w", ref.Name, err)
	}
	value := strings.TrimSpace(string(secret.Data[ref.Key]))
	if value == "" {
		return "", fmt.Errorf("key %s of Secret %s is not there or empty", ref.Key, ref.Name)
	}
	return value, nil
}

// Forbidden tells whether an error is about the user's rights alone.
func Forbidden(err error) bool {
	return err != nil && (apierrors.IsForbidden(err) || strings.Contains(err.Error(), "is forbidden: User "))
}
