//go:build cluster && linux

package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long the test waits for anything: it is not a goal, and is reached only when something is broken.
const patience = 3 * time.Minute

func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == NodeCommand { // started by Up
		fmt.Fprintln(os.Stderr, RunNode(context.Background(), os.Args[2], os.Args[3]))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func TestClusterServesAndLeavesNothing(t *testing.T) {
	before := places(t)
	m := machine(t)
	if err := m.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Down(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := m.Up(t.Context()); err != nil {
		t.Errorf("up again: %v", err)
	}

	apply(t, m, "testdata/web.yaml")
	kubectl(t, m, "--namespace=web", "wait", "--for=condition=Available", "--timeout=3m", "deployment/web")
	t.Run("names and services", func(t *testing.T) {
		got := kubectl(t, m, "--namespace=web", "exec", "deployment/web", "--", "/bin/busybox", "wget", "-qO-", "http://web.web.svc.cluster.local/")
		if got != "hello\n" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("Ingress, certificate by ACME", func(t *testing.T) {
		kubectl(t, m, "--namespace=web", "wait", "--for=create", "--timeout=3m", "certificate/web-tls")
		kubectl(t, m, "--namespace=web", "wait", "--for=condition=Ready", "--timeout=3m", "certificate/web-tls")
		serves(t, m, "web.example.test")
	})
	t.Run("HTTPRoute, certificate by the cluster's authority", func(t *testing.T) {
		serves(t, m, "route.example.test")
	})
	t.Run("metrics", func(t *testing.T) {
		kubectl(t, m, "--namespace=web", "wait", "--for=condition=ScalingActive", "--timeout=3m", "hpa/web")
	})
	t.Run("Redis", func(t *testing.T) {
		kubectl(t, m, "--namespace=web", "wait", "--for=condition=Ready", "--timeout=3m", "pod/redis")
		if got := kubectl(t, m, "--namespace=web", "exec", "redis", "--", "/bin/sh", "-c", "redis-cli set key value && redis-cli get key"); got != "OK\nvalue\n" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("images from archives", func(t *testing.T) {
		archive := filepath.Join(t.TempDir(), "image.tar")
		file, err := os.Create(archive)
		if err != nil {
			t.Fatal(err)
		}
		i := image{name: "localhost/loaded:test", text: map[string]string{"/file": "text"}}
		if err := errors.Join(i.write(file), file.Close(), m.Load(t.Context(), archive)); err != nil {
			t.Fatal(err)
		}
		var images strings.Builder
		if err := m.Exec(t.Context(), nil, &images, "ctr", "--namespace=k8s.io", "images", "list", "-q"); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(images.String(), i.name) {
			t.Errorf("images of the node: %s", images.String())
		}
	})
	t.Run("a daemon that ends is started again", func(t *testing.T) {
		pidOf := func() string {
			var pid strings.Builder
			_ = m.Exec(t.Context(), nil, &pid, "/bin/busybox", "pidof", "traefik") // fails while there is none
			return pid.String()
		}
		first := pidOf()
		if err := m.Exec(t.Context(), nil, t.Output(), "/bin/busybox", "killall", "-KILL", "traefik"); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() error {
			if now := pidOf(); now == "" || now == first {
				return fmt.Errorf("it was process %q, and is %q", first, now)
			}
			return nil
		})
		serves(t, m, "web.example.test")
	})
	t.Run("volumes go with their claims", func(t *testing.T) {
		volumes := filepath.Join(m.State, volumeDir)
		if entries, err := os.ReadDir(volumes); err != nil || len(entries) != 1 {
			t.Errorf("volumes: %v, %v; want one", entries, err)
		}
		kubectl(t, m, "delete", "namespace", "web", "--timeout=3m")
		eventually(t, func() error {
			if entries, err := os.ReadDir(volumes); err != nil || len(entries) != 0 {
				return fmt.Errorf("volumes: %v, %w; want none", entries, err)
			}
			return nil
		})
	})

	pid, err := m.pid()
	if err != nil {
		t.Fatal(err)
	}
	namespaces := namespacesOf(strconv.Itoa(pid))
	addresses, err := m.Addresses()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	nothingLeft(t, m, namespaces, addresses)
	if after := places(t); !slices.Equal(before, after) {
		t.Errorf("of what a node writes, the machine had %v before, and has %v after", before, after)
	}
	if err := m.Down(t.Context()); err != nil {
		t.Errorf("down again: %v", err)
	}
}

func TestClusterThatDoesNotComeUpLeavesNothing(t *testing.T) {
	m := machine(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	// The node is ended as soon as it is there.
	go func() {
		_ = poll(ctx, 10*time.Millisecond, func() error {
			pid, err := m.pid()
			if err != nil {
				return err
			}
			return syscall.Kill(pid, syscall.SIGKILL)
		})
	}()
	err := m.Up(ctx)
	if err == nil || !strings.Contains(err.Error(), "the node has ended") {
		t.Errorf("error %v: want that the node has ended", err)
	}
	nothingLeft(t, m, nil, nil)
}

func machine(t *testing.T) *Machine {
	t.Helper()
	bin, err := filepath.Abs("../../bin")
	if err != nil {
		t.Fatal(err)
	}
	return &Machine{Bin: bin, State: filepath.Join(t.TempDir(), "state"), Out: t.Output()}
}

// serves waits until a name is served through the machine's port for HTTPS, with a certificate that its clients trust.
func serves(t *testing.T, m *Machine, host string) {
	t.Helper()
	addresses, err := m.Addresses()
	if err != nil {
		t.Fatal(err)
	}
	trust, err := os.ReadFile(m.Trust())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(trust)
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, // a connection keeps the certificate that it began with
		TLSClientConfig:   &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addresses["HTTPS"])
		},
	}}
	eventually(t, func() error {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+host+"/", http.NoBody)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(response.Body)
		if err := errors.Join(err, response.Body.Close()); err != nil {
			return err
		}
		if response.StatusCode != http.StatusOK || string(body) != "hello\n" {
			return fmt.Errorf("%s: %s %q", host, response.Status, body)
		}
		return nil
	})
}

// nothingLeft fails the test if the machine still has a process, a mount, a control group, a file or a port of a
// cluster that is down.
func nothingLeft(t *testing.T, m *Machine, namespaces []string, addresses map[string]string) {
	t.Helper()
	if _, err := os.Stat(m.State); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its folder is left: %v", err)
	}
	if groups, err := filepath.Glob(filepath.Join(cgroupRoot, "*", cgroupOf(m.State).name)); err != nil || len(groups) != 0 {
		t.Errorf("control groups are left: %v, %v", groups, err)
	}
	if found, err := os.ReadFile("/proc/self/mountinfo"); err != nil || bytes.Contains(found, []byte(m.State)) {
		t.Errorf("mounts are left: %v\n%s", err, found)
	}
	for _, address := range addresses {
		if conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address); err == nil {
			t.Errorf("%s is still open", address)
			conn.Close() //nolint:errcheck // the test has failed
		}
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, process := range processes {
		for _, namespace := range namespacesOf(filepath.Base(process)) {
			if slices.Contains(namespaces, namespace) {
				t.Errorf("%s is still in a namespace of the cluster, %s", process, namespace)
			}
		}
	}
}

// namespacesOf are a process' own; none if it has gone.
func namespacesOf(pid string) []string {
	var found []string
	for _, kind := range []string{"net", "mnt", "pid"} {
		if link, err := os.Readlink("/proc/" + pid + "/ns/" + kind); err == nil {
			found = append(found, link)
		}
	}
	return found
}

// places are those of the folders that a node usually writes in which this machine has.
func places(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, place := range []string{
		"/var/lib/kubelet", "/var/lib/containerd", "/var/lib/cni", "/var/lib/volumes", "/var/log/pods", "/var/log/containers",
		"/run/containerd", "/run/cni", "/run/cluster", "/run/bin", "/run/netns", "/etc/cni/net.d",
	} {
		entries, err := os.ReadDir(place)
		if err == nil {
			found = append(found, fmt.Sprintf("%s (%d)", place, len(entries)))
		}
	}
	return found
}

func apply(t *testing.T, m *Machine, file string) {
	t.Helper()
	kubectl(t, m, "apply", "--server-side", "--filename", file)
}

func kubectl(t *testing.T, m *Machine, args ...string) string {
	t.Helper()
	var out strings.Builder
	if err := m.kubectl(t.Context(), nil, &out, args...); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func eventually(t *testing.T, f func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := poll(ctx, 200*time.Millisecond, f); err != nil {
		t.Fatal(err)
	}
}
