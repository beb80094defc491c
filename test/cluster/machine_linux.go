package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Machine is a cluster of this machine, which may be up or not.
type Machine struct {
	// Bin has the folders controlplane and cluster, with the binaries that `make cluster-binaries` builds.
	Bin string
	// State is the folder that the cluster keeps everything in. It is removed with the cluster.
	State string
	// Out is told what is being waited for, and how long it took.
	Out io.Writer
}

const (
	upTimeout   = 5 * time.Minute // on a busy machine; 30 seconds on an idle one
	downTimeout = time.Minute
)

// ErrDown is what is returned where a cluster has to be up, and none is.
var ErrDown = errors.New("no cluster is up: run `make cluster-up`")

// Kubeconfig is the file by which the cluster's administrator reaches it from this machine.
func (m *Machine) Kubeconfig() string { return filepath.Join(m.State, "pki", "machine.kubeconfig") }

// Trust is a file with the certificates of the authorities behind the cluster's issuers.
func (m *Machine) Trust() string { return filepath.Join(m.State, "trust.crt") }

// Addresses are those of the machine by which the cluster is reached: "HTTP" and "HTTPS" are of its ingress controller,
// "API" is that of its API server, "ACME" the management port of its ACME server.
func (m *Machine) Addresses() (map[string]string, error) {
	data, err := os.ReadFile(filepath.Join(m.State, "addresses"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrDown
	}
	if err != nil {
		return nil, fmt.Errorf("reading the cluster's addresses: %w", err)
	}
	addresses := map[string]string{}
	for line := range strings.Lines(string(data)) {
		name, address, _ := strings.Cut(strings.TrimSpace(line), "=")
		addresses[name] = address
	}
	return addresses, nil
}

// Up brings the cluster up, and returns when it is ready for use: its node, its DNS, its issuers, its Gateway. What
// had been begun is ended again if that fails. A cluster that is up already is left alone.
func (m *Machine) Up(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return errors.New("a cluster on this machine needs root; CLUSTER=current uses the kubeconfig's cluster instead")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, upTimeout, fmt.Errorf("not up after %s", upTimeout))
	defer cancel()
	lock, err := m.lock()
	if errors.Is(err, errUp) {
		return m.tell()
	}
	if err != nil {
		return err
	}
	if err := m.clean(ctx); err != nil { // of one that was up when the machine was switched off
		return errors.Join(err, lock.Close())
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	err = m.start(lock, fail)
	err = errors.Join(err, lock.Close()) // the node has it now
	if err == nil {
		err = m.setUp(ctx)
	}
	if err != nil {
		err = fmt.Errorf("%w\n%s", errors.Join(context.Cause(ctx), err), m.logs())
		return errors.Join(err, m.Down(context.WithoutCancel(ctx)))
	}
	return m.tell()
}

// start makes the keys, the control group and the ports, and starts the node. It calls fail when the node ends.
func (m *Machine) start(lock *os.File, fail func(error)) error {
	addresses, handles, err := listen()
	defer func() {
		for _, handle := range handles {
			handle.Close() //nolint:errcheck // the node has its own
		}
	}()
	if err != nil {
		return err
	}
	if err := m.write(addresses); err != nil {
		return err
	}
	group := cgroupOf(m.State)
	if err := group.create(); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	log, err := os.Create(filepath.Join(m.State, "log", "node.log"))
	if err != nil {
		return fmt.Errorf("making a log: %w", err)
	}
	defer log.Close()                                       //nolint:errcheck // it is the node that writes
	node := exec.Command(self, NodeCommand, m.Bin, m.State) //nolint:noctx,gosec // this program itself; it outlives us
	node.Env = []string{"PATH=/run/bin/cluster:/run/bin/controlplane:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/tmp"}
	node.Stdout, node.Stderr = log, log
	node.ExtraFiles = append([]*os.File{lock}, handles...)
	node.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		Setsid:     true,
	}
	if err := node.Start(); err != nil {
		return fmt.Errorf("starting the node: %w", err)
	}
	go func() { fail(fmt.Errorf("the node has ended: %w", node.Wait())) }()
	pid := strconv.Itoa(node.Process.Pid)
	if err := errors.Join(group.add(node.Process.Pid), os.WriteFile(m.pidFile(), []byte(pid), 0o600)); err != nil {
		return errors.Join(fmt.Errorf("noting the node: %w", err), node.Process.Kill())
	}
	return nil
}

// Down ends the cluster and removes what it had on the machine. It is no error if there is none.
func (m *Machine) Down(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, downTimeout, fmt.Errorf("not down after %s", downTimeout))
	defer cancel()
	lock, err := m.lock()
	if errors.Is(err, errUp) {
		pid, pidErr := m.pid()
		if pidErr != nil {
			return pidErr
		}
		// The kernel ends all else in its PID namespace before the process is gone.
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("ending the node: %w", err)
		}
		err = poll(ctx, 20*time.Millisecond, func() (err error) {
			lock, err = m.lock()
			return err
		})
		if err != nil {
			return fmt.Errorf("waiting for the node's end: %w", err)
		}
	} else if err != nil {
		return err
	}
	return errors.Join(m.clean(ctx), os.Remove(m.State), lock.Close())
}

// clean removes what is left of a cluster whose first process has gone.
func (m *Machine) clean(ctx context.Context) error {
	if err := cgroupOf(m.State).remove(ctx); err != nil {
		return err
	}
	entries, err := os.ReadDir(m.State)
	if err != nil {
		return fmt.Errorf("reading the cluster's folder: %w", err)
	}
	for _, entry := range entries {
		if err := os.RemoveAll(filepath.Join(m.State, entry.Name())); err != nil {
			return fmt.Errorf("removing the cluster's folder: %w", err)
		}
	}
	return nil
}

// Load gives the node images from archives, as `docker save` and `buildah push` write them.
func (m *Machine) Load(ctx context.Context, archives ...string) error {
	for _, archive := range archives {
		file, err := os.Open(archive)
		if err != nil {
			return fmt.Errorf("opening an image: %w", err)
		}
		err = m.load(ctx, file)
		if err := errors.Join(err, file.Close()); err != nil {
			return fmt.Errorf("%s: %w", archive, err)
		}
	}
	return nil
}

func (m *Machine) load(ctx context.Context, archive io.Reader) error {
	var out strings.Builder
	if err := m.Exec(ctx, archive, &out, "ctr", "--namespace=k8s.io", "images", "import", "--local",
		"--label=io.cri-containerd.pinned=pinned", "-"); err != nil {
		return fmt.Errorf("loading an image: %w: %s", err, strings.TrimSpace(out.String()))
	}
	return nil
}

// Exec runs a command in the node's namespaces.
func (m *Machine) Exec(ctx context.Context, in io.Reader, out io.Writer, command string, args ...string) error {
	pid, err := m.pid()
	if err != nil {
		return err
	}
	flags := []string{"--target", strconv.Itoa(pid), "--mount", "--net", "--pid", "--ipc", "--uts", "--",
		"env", "PATH=/run/bin/cluster:/run/bin/controlplane:/usr/sbin:/usr/bin:/sbin:/bin", "KUBECONFIG=" + kubeconfig("admin"), command}
	cmd := exec.CommandContext(ctx, "nsenter", append(flags, args...)...) //nolint:gosec // what the caller wants run
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, out
	return cmd.Run()
}

// errUp says that a cluster is up, and holds the lock.
var errUp = errors.New("a cluster is up")

// lock takes the lock on the cluster's folder, which the cluster's first process holds as long as it lives.
func (m *Machine) lock() (*os.File, error) {
	if err := os.MkdirAll(m.State, 0o700); err != nil {
		return nil, fmt.Errorf("making the cluster's folder: %w", err)
	}
	folder, err := os.Open(m.State)
	if err != nil {
		return nil, fmt.Errorf("opening the cluster's folder: %w", err)
	}
	err = syscall.Flock(int(folder.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = errUp
	}
	if err != nil {
		return nil, errors.Join(err, folder.Close())
	}
	return folder, nil
}

func (m *Machine) pidFile() string { return filepath.Join(m.State, "pid") }

func (m *Machine) pid() (int, error) {
	data, err := os.ReadFile(m.pidFile())
	if errors.Is(err, os.ErrNotExist) {
		return 0, ErrDown
	}
	if err != nil {
		return 0, fmt.Errorf("reading the node's process ID: %w", err)
	}
	return strconv.Atoi(string(data))
}

// listen opens the ports of the machine, and returns their addresses and handles of them for the node.
func listen() ([]string, []*os.File, error) {
	loopback := net.IPv4(127, 0, 0, 1)
	var addresses []string
	var handles []*os.File
	for _, port := range machinePorts {
		listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: loopback, Port: port.port})
		if errors.Is(err, syscall.EADDRINUSE) {
			listener, err = net.ListenTCP("tcp", &net.TCPAddr{IP: loopback})
		}
		if err != nil {
			return nil, handles, fmt.Errorf("opening a port for %s: %w", port.name, err)
		}
		handle, err := listener.File()
		if err := errors.Join(err, listener.Close()); err != nil {
			return nil, handles, fmt.Errorf("opening a port for %s: %w", port.name, err)
		}
		addresses = append(addresses, listener.Addr().String())
		handles = append(handles, handle)
	}
	return addresses, handles, nil
}

// write writes the keys and the daemons' configurations, and which addresses the cluster has on the machine.
func (m *Machine) write(addresses []string) error {
	if err := os.MkdirAll(filepath.Join(m.State, "log"), 0o700); err != nil {
		return fmt.Errorf("making the folder for logs: %w", err)
	}
	if err := writePKI(filepath.Join(m.State, "pki"), addresses[0]); err != nil {
		return err
	}
	if err := writeFiles(filepath.Join(m.State, "files"), cgroupOf(m.State).name); err != nil {
		return err
	}
	var lines strings.Builder
	for i, port := range machinePorts {
		fmt.Fprintf(&lines, "%s=%s\n", port.name, addresses[i])
	}
	if err := os.WriteFile(filepath.Join(m.State, "addresses"), []byte(lines.String()), 0o600); err != nil {
		return fmt.Errorf("writing the addresses: %w", err)
	}
	return nil
}

// logs is the end of every daemon's log, for when the cluster does not come up.
func (m *Machine) logs() string {
	const last = 8
	files, err := filepath.Glob(filepath.Join(m.State, "log", "*.log"))
	if err != nil {
		return err.Error()
	}
	var all strings.Builder
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil || len(data) == 0 {
			continue
		}
		lines := strings.Split(strings.TrimSpace(string(data)), "\n")
		fmt.Fprintf(&all, "--- %s, last lines of %d\n%s\n", filepath.Base(file), len(lines),
			strings.Join(lines[max(0, len(lines)-last):], "\n"))
	}
	return all.String()
}

// tell says how the cluster is reached.
func (m *Machine) tell() error {
	addresses, err := m.Addresses()
	if err != nil {
		return err
	}
	m.say("the cluster is up; names below example.test are at http://%s and https://%s, trusted by %s",
		addresses["HTTP"], addresses["HTTPS"], m.Trust())
	m.say("export KUBECONFIG=%s", m.Kubeconfig())
	return nil
}

func (m *Machine) say(format string, args ...any) { fmt.Fprintf(m.Out, format+"\n", args...) } //nolint:errcheck // progress
