//go:build chaos

package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	startTimeout = 20 * time.Second
	stopTimeout  = 90 * time.Second // a server finishes its turns first

	// The probes of the operator's Deployment.
	startupPeriod     = time.Second
	readinessPeriod   = 5 * time.Second
	readinessFailures = 2
	readinessTimeout  = 3 * time.Second
)

// replica is one of a bot's pods: a server process, and after it is killed the next.
type replica struct {
	number  int
	command []string
	env     []string
	log     *os.File

	mu      sync.Mutex
	lives   []*life // the last is the present one
	retired sync.WaitGroup
}

// life is one process of a replica.
type life struct {
	replica *replica
	cmd     *exec.Cmd
	ended   chan struct{} // closed when the process is gone
	err     error         // what it ended with

	mu      sync.Mutex
	webhook string // where it listens
	admin   string
	ready   bool
	told    bool // to stop
	killed  time.Time
}

// build builds the server once, as it is shipped but for the size.
func build(t testing.TB) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "server")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-tags", "grpcnotrace", "-o", binary, "../../cmd/server")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the server: %v\n%s", err, out)
	}
	return binary
}

// startReplica starts a replica and ends it with the test: by then it is to have been stopped.
func startReplica(t testing.TB, number int, logs string, env []string, command ...string) *replica {
	t.Helper()
	log, err := os.Create(filepath.Join(logs, fmt.Sprintf("server-%d.log", number)))
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{number: number, command: command, env: env, log: log}
	t.Cleanup(func() {
		for _, l := range r.all() {
			_ = l.cmd.Process.Kill()
			<-l.ended
		}
		r.retired.Wait()
		_ = log.Close()
	})
	if err := r.start(); err != nil {
		t.Fatal(err)
	}
	return r
}

// start begins a new life and waits until it serves.
func (r *replica) start() error {
	l := &life{replica: r, ended: make(chan struct{})}
	l.cmd = exec.Command(r.command[0], r.command[1:]...) //nolint:noctx // it ends by a signal of its own
	l.cmd.Env = r.env
	out, err := l.cmd.StderrPipe()
	if err != nil {
		return fmt.Errorf("starting a server: %w", err)
	}
	if err := l.cmd.Start(); err != nil {
		return fmt.Errorf("starting a server: %w", err)
	}
	r.mu.Lock()
	r.lives = append(r.lives, l)
	r.mu.Unlock()
	serving := make(chan struct{})
	r.retired.Go(func() {
		l.follow(bufio.NewScanner(out), serving)
		l.err = l.cmd.Wait()
		close(l.ended)
	})
	select {
	case <-serving:
	case <-l.ended:
		return fmt.Errorf("server %d ended at once: %w", r.number, l.err)
	case <-time.After(startTimeout):
		return fmt.Errorf("server %d did not serve within %v", r.number, startTimeout)
	}
	r.retired.Go(l.probe)
	return nil
}

// follow copies the process's log and closes serving when it says where it listens.
func (l *life) follow(lines *bufio.Scanner, serving chan struct{}) {
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		_, _ = l.replica.log.Write(append(lines.Bytes(), '\n'))
		var line struct{ Msg, Webhook, Admin string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "Serving" {
			l.mu.Lock()
			l.webhook, l.admin = line.Webhook, line.Admin
			l.mu.Unlock()
			close(serving)
		}
	}
}

// probe asks for readiness as a kubelet does.
func (l *life) probe() {
	failures, period := 0, startupPeriod/5
	for {
		failures++
		if l.askReady() {
			failures, period = 0, readinessPeriod
		}
		if failures == 0 || failures >= readinessFailures {
			l.setReady(failures == 0)
		}
		select {
		case <-l.ended:
			l.setReady(false)
			return
		case <-time.After(period):
		}
	}
}

func (l *life) askReady() bool {
	ctx, cancel := context.WithTimeout(context.Background(), readinessTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.admin+"/readyz", http.NoBody)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}

func (l *life) setReady(ready bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ready = ready && !l.told
}

// serves tells whether pushes go to it.
func (l *life) serves() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ready
}

func (l *life) address() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.webhook
}

// killedAt is when it was killed; zero if it was not.
func (l *life) killedAt() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.killed
}

func (r *replica) all() []*life {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*life(nil), r.lives...)
}

// now is the present life.
func (r *replica) now() *life {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lives[len(r.lives)-1]
}

// serving is the newest process that takes pushes, nil if there is none: an old one does until its successor is ready.
func (r *replica) serving() *life {
	for _, l := range slices.Backward(r.all()) {
		if l.serves() {
			return l
		}
	}
	return nil
}

// await looks until a condition holds.
func await(limit time.Duration, holds func() bool) error {
	over := time.After(limit)
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for !holds() {
		select {
		case <-look.C:
		case <-over:
			return fmt.Errorf("not within %v", limit)
		}
	}
	return nil
}

// kill ends the process with SIGKILL and starts the next one at once.
func (r *replica) kill() error {
	l := r.now()
	l.mu.Lock()
	l.killed = time.Now()
	l.mu.Unlock()
	if err := l.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("killing server %d: %w", r.number, err)
	}
	<-l.ended
	return r.start()
}

// roll starts the successor of a process that is told to stop. The old one is no endpoint of the Service any more.
func (r *replica) roll() error {
	old := r.now()
	if err := r.start(); err != nil {
		return err
	}
	if err := await(startTimeout, r.now().serves); err != nil {
		return fmt.Errorf("waiting for the successor of server %d: %w", r.number, err)
	}
	return old.tell()
}

// tell tells a process to stop.
func (l *life) tell() error {
	l.mu.Lock()
	l.told, l.ready = true, false
	l.mu.Unlock()
	if err := l.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("telling server %d to stop: %w", l.replica.number, err)
	}
	return nil
}

// stop ends the replica as a pod is ended, and says how every process of it ended that was not killed.
func (r *replica) stop(t testing.TB) {
	t.Helper()
	if err := r.now().tell(); err != nil {
		t.Error(err)
	}
	for i, l := range r.all() {
		select {
		case <-l.ended:
		case <-time.After(stopTimeout):
			t.Errorf("process %d of server %d still runs %v after it was told to stop", i, r.number, stopTimeout)
			_ = l.cmd.Process.Kill()
			<-l.ended
			continue
		}
		if l.killedAt().IsZero() && l.err != nil {
			t.Errorf("process %d of server %d ended with %v, want 0", i, r.number, l.err)
		}
	}
}
