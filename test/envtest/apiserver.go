package envtest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
)

const startTimeout = time.Minute

// KillAPIServer ends the API server with SIGKILL, and returns when it is gone. Etcd goes on, so StartAPIServer brings
// back what was there.
func (c *ControlPlane) KillAPIServer() error {
	if c.again != nil {
		err := c.again.Process.Kill()
		_ = c.again.Wait() // it says that it was killed
		c.again = nil
		if err != nil {
			return fmt.Errorf("killing the API server: %w", err)
		}
		return nil
	}
	server, err := c.apiServer()
	if err != nil {
		return err
	}
	if err := server.Kill(); err != nil {
		return fmt.Errorf("killing the API server: %w", err)
	}
	// Whoever started it waits for its end: until then it is there.
	return until(context.Background(), "the end of the API server", func() bool {
		return errors.Is(server.Signal(syscall.Signal(0)), os.ErrProcessDone)
	})
}

// StartAPIServer starts an API server that was killed, with the arguments that it had, and returns when it is ready.
func (c *ControlPlane) StartAPIServer(ctx context.Context) error {
	if c.args == nil || c.again != nil {
		return errors.New("starting the API server: it was not killed")
	}
	again := exec.Command(c.args[0], c.args[1:]...) //nolint:gosec,noctx // it outlives the test, and KillAPIServer or Stop ends it
	if err := again.Start(); err != nil {
		return fmt.Errorf("starting the API server: %w", err)
	}
	c.again = again
	client, err := rest.HTTPClientFor(c.Config)
	if err != nil {
		return fmt.Errorf("making a client of the API server: %w", err)
	}
	return until(ctx, "the API server to be ready", func() bool {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(c.Config.Host, "/")+"/readyz", http.NoBody)
		if err != nil {
			return false
		}
		answer, err := client.Do(r)
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
}

func until(ctx context.Context, what string, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		case <-ticker.C:
		}
	}
	return nil
}

// apiServer finds the process that was started first among this process's children, and keeps its arguments:
// controller-runtime tells neither, and what it starts anew has other keys.
func (c *ControlPlane) apiServer() (*os.Process, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, fmt.Errorf("looking for the API server: %w", err)
	}
	mine := "--cert-dir=" + c.env.ControlPlane.GetAPIServer().CertDir
	for _, stat := range stats {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		if err != nil || !isChild(stat) {
			continue
		}
		line, err := os.ReadFile(filepath.Join(filepath.Dir(stat), "cmdline"))
		if err != nil {
			continue // it has ended meanwhile
		}
		args := strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
		if !strings.Contains(strings.Join(args, "\n"), mine) {
			continue
		}
		c.args = args
		server, err := os.FindProcess(pid)
		if err != nil {
			return nil, fmt.Errorf("looking for the API server: %w", err)
		}
		return server, nil
	}
	return nil, errors.New("the control plane's API server is not among this process's children")
}

func isChild(stat string) bool {
	content, err := os.ReadFile(stat)
	if err != nil {
		return false // it has ended meanwhile
	}
	_, rest, _ := strings.Cut(string(content), ") ") // behind the name, which can hold anything
	fields := strings.Fields(rest)
	return len(fields) > 1 && fields[1] == strconv.Itoa(os.Getpid())
}
