package cluster

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestReaperTellsHowACommandEnded(t *testing.T) {
	r := newReaper()
	for _, want := range []int{0, 3} {
		ended, err := r.start(exec.CommandContext(t.Context(), "sh", "-c", "exit "+strconv.Itoa(want)))
		if err != nil {
			t.Fatal(err)
		}
		reapUntil(t, r, func() error {
			select {
			case status := <-ended:
				if got := status.ExitStatus(); got != want {
					t.Errorf("exit status %d, want %d", got, want)
				}
				return nil
			default:
				return fmt.Errorf("exit %d has not ended", want)
			}
		})
	}
	if _, err := r.start(exec.CommandContext(t.Context(), "/nowhere/command")); err == nil || !strings.Contains(err.Error(), "/nowhere/command") {
		t.Errorf("error %v: want one that names the command", err)
	}
}

func TestReaperTakesOrphans(t *testing.T) {
	const setChildSubreaper = 36 // of prctl(2)
	if _, _, errno := syscall.Syscall(syscall.SYS_PRCTL, setChildSubreaper, 1, 0); errno != 0 {
		t.Fatal(errno)
	}
	t.Cleanup(func() {
		if _, _, errno := syscall.Syscall(syscall.SYS_PRCTL, setChildSubreaper, 0, 0); errno != 0 {
			t.Error(errno)
		}
	})
	var out strings.Builder
	parent := exec.CommandContext(t.Context(), "sh", "-c", "sleep 0.05 >/dev/null & echo $!")
	parent.Stdout = &out
	if err := parent.Run(); err != nil {
		t.Fatal(err)
	}
	orphan, err := strconv.Atoi(strings.TrimSpace(out.String()))
	if err != nil {
		t.Fatal(err)
	}
	reapUntil(t, newReaper(), func() error {
		if err := syscall.Kill(orphan, 0); err == nil {
			return fmt.Errorf("process %d is still there", orphan)
		}
		return nil
	})
}

func reapUntil(t *testing.T, r *reaper, done func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := poll(ctx, time.Millisecond, func() error {
		for r.reap() {
		}
		return done()
	})
	if err != nil {
		t.Fatal(err)
	}
}
