package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// NodeCommand is the argument by which the command of this package runs as the node's first process.
const NodeCommand = "node"

// firstInherited is the file descriptor of the first thing that the node inherits: its lock, then its listeners.
const firstInherited = 3

// RunNode is the first process of the cluster's namespaces, which [Machine.Up] starts: it mounts, makes the network,
// starts the daemons, and starts again what ends. It returns only if something cannot be started at all.
func RunNode(ctx context.Context, bin, state string) error {
	syscall.CloseOnExec(firstInherited) // the lock is this process' alone
	if err := mountAll(bin, state); err != nil {
		return err
	}
	if err := makeNetwork(ctx); err != nil {
		return err
	}
	for i, port := range machinePorts {
		file := os.NewFile(uintptr(firstInherited+1+i), port.name)
		listener, err := net.FileListener(file)
		if err != nil {
			return fmt.Errorf("taking over the port for %s: %w", port.name, err)
		}
		if err := file.Close(); err != nil {
			return fmt.Errorf("closing the other handle of a port: %w", err)
		}
		go forward(ctx, listener, port.target)
	}
	n := &node{reaper: newReaper()}
	go n.reaper.run()
	broken := make(chan error)
	for _, d := range daemons() {
		go func() { broken <- fmt.Errorf("%s: %w", d.name, n.keep(ctx, d)) }()
	}
	return <-broken // the end of this process is the end of all
}

// mountAll gives the node folders of its own where its daemons write: /run, /tmp, /var/lib and /var/log are below the
// cluster's folder on the machine, or in memory. The machine's own are out of reach.
func mountAll(bin, state string) error {
	run := filepath.Join(state, "run")
	for _, dir := range []string{"var/lib", "var/log", "tmp", "run", "log"} {
		if err := os.MkdirAll(filepath.Join(state, dir), 0o755); err != nil { //nolint:gosec // as they are on any machine
			return fmt.Errorf("making a folder of the node: %w", err)
		}
	}
	if err := os.Chmod(filepath.Join(state, "tmp"), os.ModeSticky|0o777); err != nil {
		return fmt.Errorf("opening /tmp: %w", err)
	}
	const private, shared = syscall.MS_REC | syscall.MS_PRIVATE, syscall.MS_REC | syscall.MS_SHARED
	// The new /run is made where the state is, because what is hidden by a mount could not be mounted any more.
	if err := mounts(
		mount{to: "/", flags: private},
		mount{what: "tmpfs", to: run, kind: "tmpfs", options: "mode=755"},
	); err != nil {
		return err
	}
	for _, dir := range []string{"cluster", "bin"} {
		if err := os.Mkdir(filepath.Join(run, dir), 0o755); err != nil { //nolint:gosec // as above
			return fmt.Errorf("making a folder of the node: %w", err)
		}
	}
	return mounts(
		mount{what: state, to: filepath.Join(run, "cluster"), flags: syscall.MS_BIND},
		mount{what: bin, to: filepath.Join(run, "bin"), flags: syscall.MS_BIND},
		mount{what: run, to: "/run", flags: syscall.MS_MOVE},
		mount{what: stateDir + "/var/lib", to: "/var/lib", flags: syscall.MS_BIND},
		mount{what: stateDir + "/var/log", to: "/var/log", flags: syscall.MS_BIND},
		mount{what: stateDir + "/tmp", to: "/tmp", flags: syscall.MS_BIND},
		mount{what: "proc", to: "/proc", kind: "proc"},
		// Shared among the node's own mount namespaces, as the kubelet and containers expect.
		mount{to: "/", flags: shared},
	)
}

type mount struct {
	what, to, kind string
	flags          uintptr
	options        string
}

func mounts(list ...mount) error {
	for _, m := range list {
		if err := syscall.Mount(m.what, m.to, m.kind, m.flags, m.options); err != nil {
			return fmt.Errorf("mounting %s at %s: %w", m.what, m.to, err)
		}
	}
	return nil
}

// makeNetwork gives the node its addresses, on a pair of interfaces whose ends are both in this namespace: nothing leaves
// it. (An interface of type dummy would do, but not every kernel has them.)
func makeNetwork(ctx context.Context) error {
	ip := exec.CommandContext(ctx, "ip", "-batch", "-")
	ip.Stdin = strings.NewReader(`link set lo up
link add node0 type veth peer name node0p
addr add ` + nodeIP + `/24 dev node0
addr add ` + ingressIP + `/32 dev node0
link set node0p up
link set node0 up
route add default dev node0
`)
	if out, err := ip.CombinedOutput(); err != nil {
		return fmt.Errorf("making the node's network: %w: %s", err, out)
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil { //nolint:gosec // the kernel's
		return fmt.Errorf("letting pods talk to each other: %w", err)
	}
	return nil
}

type node struct{ reaper *reaper }

// keep runs a daemon for as long as the node lives. It returns only if it cannot start it.
func (n *node) keep(ctx context.Context, d daemon) error {
	log := slog.With("daemon", d.name)
	for _, what := range d.after {
		if err := poll(ctx, 200*time.Millisecond, func() error { return n.there(ctx, what) }); err != nil {
			return fmt.Errorf("waiting for %s: %w", what, err)
		}
	}
	output, err := os.OpenFile(filepath.Join(logDir, d.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("making its log: %w", err)
	}
	defer output.Close() //nolint:errcheck // it is the daemon that writes
	for {
		cmd := exec.CommandContext(ctx, d.name, d.args...) //nolint:gosec // one of our own list
		cmd.Env = append(os.Environ(), d.env...)
		cmd.Stdout, cmd.Stderr = output, output
		ended, err := n.reaper.start(cmd)
		if err != nil {
			return err
		}
		log.Info("Started", "pid", cmd.Process.Pid)
		status := <-ended
		log.Error("Ended, and is started again", "exit", status.ExitStatus(), "signal", status.Signal())
		time.Sleep(time.Second) // what ends at once would be started for ever
	}
}

// there tells whether a path is served by the API server, or a socket exists.
func (n *node) there(ctx context.Context, what string) error {
	if what == containerd {
		_, err := os.Stat(what)
		return err
	}
	return get(ctx, kubeconfig("admin"), what)
}

// get asks the API server for a path, and fails unless the answer is 200.
func get(ctx context.Context, kubeconfig, path string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("reading a kubeconfig: %w", err)
	}
	config.Timeout = 5 * time.Second
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, config.Host+path, http.NoBody)
	if err != nil {
		return fmt.Errorf("making a request: %w", err)
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s", path, response.Status)
	}
	return errors.Join(err, response.Body.Close())
}
