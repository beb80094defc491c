// Command run shows the operator at work without a cluster (make run): it starts the API server of the tests, runs the
// operator against it, applies the minimal sample, and prints what kubectl shows, until it is interrupted.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/wechatbot/wechatbot-operator/controllers"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
	"github.com/wechatbot/wechatbot-operator/test/envtest"
)

const (
	image     = "wechatbot-operator:latest"
	namespace = "bots"
	patience  = 30 * time.Second
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "run:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) (err error) {
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	plane, err := envtest.Start() //nolint:contextcheck // it ends what it has started itself
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, plane.Stop()) }() //nolint:contextcheck // also after ctx has ended

	life, end := context.WithCancel(ctx)
	mgr, err := controllers.NewManager(life, plane.Config, controllers.ManagerOptions{
		MetricsAddress: "0", HealthAddress: "0", Log: logr.Discard(),
	}, controllers.Options{Operator: desired.Operator{Image: image}})
	if err != nil {
		end()
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(life) }()
	defer func() {
		end()
		err = errors.Join(err, <-ended)
	}()

	if err := show(ctx, plane, out); err != nil {
		return err
	}
	kubeconfig, err := writeKubeconfig(ctx, plane)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(filepath.Dir(kubeconfig))) }()
	_, err = fmt.Fprintf(out, `
This is an API server and the operator, nothing else: no node runs the pods, no ingress controller gives an address, so
the bot does not become ready, and its conditions say why. For all of it use a whole cluster (kind, k3s):
  kubectl apply --server-side -k config/default

Try it:  export KUBECONFIG=%s
         bin/controlplane/kubectl -n %s get wechatbots
Ctrl-C ends and removes everything.
`, kubeconfig, namespace)
	if err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	<-ctx.Done()
	return nil
}

// show applies the sample and prints what a user sees.
func show(ctx context.Context, plane *envtest.ControlPlane, out io.Writer) error {
	sample, err := os.ReadFile(filepath.Join("config", "samples", "minimal.yaml"))
	if err != nil {
		return fmt.Errorf("reading the sample (run this in the repository's root): %w", err)
	}
	step := func(stdin string, args ...string) error {
		printed, err := plane.Kubectl(ctx, stdin, args...)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "\n$ kubectl %s\n%s", strings.Join(args, " "), printed); err != nil {
			return fmt.Errorf("printing: %w", err)
		}
		return nil
	}
	in := []string{"-n", namespace}
	with := func(args ...string) []string { return append(args, in...) }
	if err := step("", "create", "namespace", namespace); err != nil {
		return err
	}
	if err := step(string(sample), with("apply", "-f", "-")...); err != nil {
		return err
	}
	if err := await(ctx, plane, "SecretNotFound"); err != nil {
		return err
	}
	if err := step("", with("get", "wechatbots")...); err != nil {
		return err
	}
	if err := step("", with("create", "secret", "generic", "winter", "--from-literal=token=wintertoken", "--from-literal=dify-key=app-wrong")...); err != nil {
		return err
	}
	if err := await(ctx, plane, "Unauthorized|Unreachable"); err != nil {
		return err
	}
	return errors.Join(
		step("", with("get", "wechatbots", "-o", "wide")...),
		step("", with("get", "deploy,svc,ing,cm,sa,role,rolebinding", "-l", "app.kubernetes.io/instance=winter")...),
		step("", with("describe", "wechatbot", "winter")...),
	)
}

// await waits until Ready has one of the reasons.
func await(ctx context.Context, plane *envtest.ControlPlane, reasons string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		reason, err := plane.Kubectl(ctx, "", "-n", namespace, "get", "wechatbot", "winter",
			"-o", `jsonpath={.status.conditions[?(@.type=="Ready")].reason}`)
		if err != nil {
			return err
		}
		for want := range strings.SplitSeq(reasons, "|") {
			if reason == want {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the bot does not become %s: %w", reasons, ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func writeKubeconfig(ctx context.Context, plane *envtest.ControlPlane) (string, error) {
	view, err := plane.Kubectl(ctx, "", "config", "view", "--raw", "--flatten")
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "wechatbot-run-")
	if err != nil {
		return "", fmt.Errorf("making a folder for the kubeconfig: %w", err)
	}
	file := filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(file, []byte(view), 0o600); err != nil {
		return "", fmt.Errorf("writing the kubeconfig: %w", err)
	}
	return file, nil
}
