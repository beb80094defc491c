package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/cmd/kubectl-wechatbot/forward"
	"github.com/wechatbot/wechatbot-operator/cmd/kubectl-wechatbot/inspect"
)

func (t terminal) command() *cobra.Command {
	c := &cobra.Command{
		Use:           "kubectl-wechatbot",
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl wechatbot"},
		Short:         "Create, watch and examine WeChat bots",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	c.SetIn(t.in)
	c.SetOut(t.out)
	c.SetErr(t.err)
	var a access
	a.rules = clientcmd.NewDefaultClientConfigLoadingRules()
	s := c.PersistentFlags()
	s.StringVar(&a.rules.ExplicitPath, "kubeconfig", "", "the kubeconfig to use")
	clientcmd.BindOverrideFlags(&a.overrides, s, clientcmd.RecommendedConfigOverrideFlags(""))
	c.AddCommand(statusCommand(&a), doctorCommand(&a, t.outside), createCommand(&a, t.env), logsCommand(&a), chatCommand(&a),
		sessionsCommand(&a), menuCommand(&a), supportBundleCommand(&a))
	return c
}

// access is the way to the cluster that the flags say.
type access struct {
	rules     *clientcmd.ClientConfigLoadingRules
	overrides clientcmd.ConfigOverrides
}

// cluster is what commands work with.
type cluster struct {
	config    *rest.Config
	client    client.WithWatch
	namespace string
}

func (a *access) cluster() (*cluster, error) {
	loaded := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(a.rules, &a.overrides)
	config, err := loaded.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w", err)
	}
	config.UserAgent, config.QPS, config.Burst = "kubectl-wechatbot/"+version, 50, 100
	config.WarningHandler = rest.NoWarnings{}
	c := &cluster{config: config}
	if c.namespace, _, err = loaded.Namespace(); err != nil {
		return nil, fmt.Errorf("finding the namespace: %w", err)
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("knowing the objects: %w", err)
	}
	if c.client, err = client.NewWithWatch(config, client.Options{Scheme: scheme}); err != nil {
		return nil, fmt.Errorf("finding the cluster: %w", err)
	}
	return c, nil
}

// inspect reads one bot.
func (c *cluster) inspect(ctx context.Context, name string) (*inspect.Facts, error) {
	r := &inspect.Reader{Client: c.client, Open: func(ctx context.Context, namespace, pod string, port int) (string, error) {
		return forward.Open(ctx, c.config, namespace, pod, port)
	}}
	return r.Bot(ctx, types.NamespacedName{Namespace: c.namespace, Name: name}) //nolint:wrapcheck // it says itself what is wrong
}

// bots completes the names of bots.
func (a *access) bots(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	at, err := a.cluster()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var all v1alpha1.WechatBotList
	if err := at.client.List(c.Context(), &all, client.InNamespace(at.namespace)); err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for i := range all.Items {
		names = append(names, all.Items[i].Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
