package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// The images that the node has from the start. Nothing is ever pulled.
const (
	pauseImage      = "localhost/pause:local" // files/containerd.toml names it too
	acmesolverImage = "localhost/acmesolver:local"
	redisImage      = "localhost/redis:local"
)

//go:embed files
var files embed.FS

//go:embed addons
var manifests embed.FS

// writeFiles writes the daemons' configurations below dir.
func writeFiles(dir, cgroup string) error {
	return fs.WalkDir(files, "files", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := files.ReadFile(path)
		if err != nil {
			return err
		}
		data = bytes.Replace(data, []byte("/CGROUP # replaced by the cluster's own"), []byte("/"+cgroup), 1)
		to := filepath.Join(dir, strings.TrimPrefix(path, "files/"))
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return fmt.Errorf("making the folder for configurations: %w", err)
		}
		if err := os.WriteFile(to, data, 0o600); err != nil {
			return fmt.Errorf("writing a configuration: %w", err)
		}
		return nil
	})
}

// setUp waits for the cluster's parts, and gives it its images and objects.
func (m *Machine) setUp(ctx context.Context) error {
	begin := time.Now()
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"API server", func(ctx context.Context) error {
			return poll(ctx, 100*time.Millisecond, func() error { return get(ctx, m.Kubeconfig(), apiReady) })
		}},
		{"objects", m.apply},
		{"images", m.loadOwn},
		{"node", func(ctx context.Context) error {
			if err := m.wait(ctx, "--for=create", "node/"+nodeName, "serviceaccount/default"); err != nil {
				return err
			}
			return m.wait(ctx, "--for=condition=Ready", "node/"+nodeName)
		}},
		{"certificate issuers", func(ctx context.Context) error {
			if err := m.wait(ctx, "--for=condition=Ready", "clusterissuer/acme", "clusterissuer/test-ca"); err != nil {
				return err
			}
			return m.writeTrust(ctx)
		}},
		{"gateway", func(ctx context.Context) error {
			return m.wait(ctx, "--for=condition=Programmed", "--namespace=traefik", "gateway/traefik")
		}},
		{"metrics", func(ctx context.Context) error {
			return m.wait(ctx, "--for=condition=Available", "apiservice/v1beta1.metrics.k8s.io")
		}},
	} {
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		m.say("%5.1f s  %s", time.Since(begin).Seconds(), step.name)
	}
	return nil
}

// apply applies the addons' CRDs, which hack/cluster takes from their modules, and then the objects of this package.
func (m *Machine) apply(ctx context.Context) error {
	crds := filepath.Join(m.Bin, "cluster", "crds")
	if err := m.kubectl(ctx, nil, io.Discard, "apply", "--server-side", "--recursive", "--filename", crds); err != nil {
		return err
	}
	if err := m.wait(ctx, "--for=condition=Established", "crd", "--all"); err != nil {
		return err
	}
	ca, err := os.ReadFile(filepath.Join(m.State, "pki", "ca.crt"))
	if err != nil {
		return fmt.Errorf("reading the cluster's certificate: %w", err)
	}
	all, err := fs.Glob(manifests, "addons/*.yaml")
	if err != nil {
		return fmt.Errorf("listing the addons: %w", err)
	}
	var objects bytes.Buffer
	for _, file := range all {
		manifest, err := manifests.ReadFile(file)
		if err != nil {
			return fmt.Errorf("reading an addon: %w", err)
		}
		objects.WriteString("---\n")
		objects.Write(bytes.Replace(manifest, []byte("CA_BUNDLE"), []byte(base64.StdEncoding.EncodeToString(ca)), 1))
	}
	return m.kubectl(ctx, &objects, io.Discard, "apply", "--server-side", "--filename", "-")
}

// wait waits for objects by kubectl, which says what it waited for in vain.
func (m *Machine) wait(ctx context.Context, args ...string) error {
	return m.kubectl(ctx, nil, io.Discard, append([]string{"wait", "--timeout=3m"}, args...)...)
}

func (m *Machine) kubectl(ctx context.Context, in io.Reader, out io.Writer, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(m.Bin, "controlplane", "kubectl"), args...) //nolint:gosec // ours
	cmd.Env = append(os.Environ(), "KUBECONFIG="+m.Kubeconfig(), "KUBECACHEDIR="+filepath.Join(m.State, "kubectl"))
	var problem strings.Builder
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, &problem
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(problem.String()))
	}
	return nil
}

// writeTrust writes the certificates of the authorities behind the issuers: what a client of the bots has to trust.
func (m *Machine) writeTrust(ctx context.Context) error {
	var trust bytes.Buffer
	if err := m.kubectl(ctx, nil, &trust, "--namespace=cert-manager", "get", "secret", "test-ca",
		"--output=go-template={{index .data \"tls.crt\" | base64decode}}"); err != nil {
		return err
	}
	root, err := m.acmeRoot(ctx)
	if err != nil {
		return fmt.Errorf("asking the ACME server for its certificate: %w", err)
	}
	if err := os.WriteFile(m.Trust(), append(trust.Bytes(), root...), 0o600); err != nil {
		return fmt.Errorf("writing what to trust: %w", err)
	}
	return nil
}

// acmeRoot is the certificate of the authority that the ACME server made when it started.
func (m *Machine) acmeRoot(ctx context.Context) ([]byte, error) {
	addresses, err := m.Addresses()
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(filepath.Join(m.State, "pki", "ca.crt"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+addresses["ACME"]+"/roots/0", http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	root, err := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s", response.Status)
	}
	return root, errors.Join(err, response.Body.Close())
}

// loadOwn gives the node the images that it is to have from the start.
func (m *Machine) loadOwn(ctx context.Context) error {
	err := poll(ctx, 100*time.Millisecond, func() error {
		return m.Exec(ctx, nil, io.Discard, "test", "-S", containerd)
	})
	if err != nil {
		return fmt.Errorf("waiting for containerd: %w", err)
	}
	redis, err := redisFiles(ctx)
	if err != nil {
		return err
	}
	bin := filepath.Join(m.Bin, "cluster")
	for _, image := range []image{
		{name: pauseImage, files: map[string]string{"/pause": filepath.Join(bin, "pause")}, entrypoint: []string{"/pause"}, user: "65535:65535"},
		{
			name: acmesolverImage, files: map[string]string{"/acmesolver": filepath.Join(bin, "acmesolver")},
			entrypoint: []string{"/acmesolver"}, user: "65532:65532",
		},
		{
			name: redisImage, files: redis, links: map[string]string{"/bin/sh": "busybox"}, dirs: []string{"/data", "/tmp"},
			text:       map[string]string{"/etc/passwd": "root:x:0:0:root:/root:/bin/sh\nredis:x:999:999:redis:/data:/bin/sh\n"},
			entrypoint: []string{"/usr/bin/redis-server"}, user: "999:999", workingDir: "/data",
		},
	} {
		var archive bytes.Buffer
		if err := image.write(&archive); err != nil {
			return err
		}
		if err := m.load(ctx, &archive); err != nil {
			return fmt.Errorf("%s: %w", image.name, err)
		}
	}
	return nil
}

// redisFiles are Debian's Redis, with the libraries it needs, and a shell.
func redisFiles(ctx context.Context) (map[string]string, error) {
	list := map[string]string{"/bin/busybox": "/bin/busybox"}
	for _, program := range []string{"/usr/bin/redis-server", "/usr/bin/redis-cli"} {
		list[program] = program
		out, err := exec.CommandContext(ctx, "ldd", program).CombinedOutput() //nolint:gosec // one of the two above
		if err != nil {
			return nil, fmt.Errorf("libraries of %s: %w: %s", program, err, out)
		}
		for field := range strings.FieldsSeq(string(out)) {
			if strings.HasPrefix(field, "/") {
				list[field] = field
			}
		}
	}
	return list, nil
}
