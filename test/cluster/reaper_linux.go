package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
)

// reaper waits for every child of this process, which is the first of its PID namespace: those that it started, whose
// end it reports, and the orphans that the kernel gives it (containers' shims, above all).
type reaper struct {
	mu      sync.Mutex
	started map[int]chan<- syscall.WaitStatus
}

func newReaper() *reaper {
	return &reaper{started: map[int]chan<- syscall.WaitStatus{}}
}

// start starts a command. Its end is sent on the channel, once. The command's own Wait must not be called.
func (r *reaper) start(cmd *exec.Cmd) (<-chan syscall.WaitStatus, error) {
	ended := make(chan syscall.WaitStatus, 1)
	r.mu.Lock() // so that its end is not looked at before it is noted
	defer r.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", cmd.Path, err)
	}
	r.started[cmd.Process.Pid] = ended
	return ended, nil
}

// run reaps for ever: the process that it is for ends by being killed.
func (r *reaper) run() {
	child := make(chan os.Signal, 1)
	signal.Notify(child, syscall.SIGCHLD)
	for ; ; <-child {
		for r.reap() {
		}
	}
}

// reap reaps one child, if one has ended.
func (r *reaper) reap() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	var status syscall.WaitStatus
	pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
	if errors.Is(err, syscall.EINTR) {
		return true
	}
	if err != nil || pid <= 0 {
		return false
	}
	if ended, ok := r.started[pid]; ok {
		ended <- status
		delete(r.started, pid)
	}
	return true
}
