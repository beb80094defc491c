package cluster

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestEveryClusterHasItsOwnControlGroup(t *testing.T) {
	if a, b := cgroupOf("/a/state"), cgroupOf("/b/state"); a == b {
		t.Errorf("two clusters are both in %s", a.name)
	}
	if a, again := cgroupOf("/a/state"), cgroupOf("/a/state"); a != again {
		t.Errorf("a cluster is in %s and %s", a.name, again.name)
	}
}

func TestRemoveTreeRemovesFoldersOnly(t *testing.T) {
	root := filepath.Join(t.TempDir(), "group")
	if err := os.MkdirAll(filepath.Join(root, "a", "b"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := removeTree(root); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(root); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
	if err := removeTree(root); err != nil {
		t.Errorf("removing what is not there: %v", err)
	}
}

func TestPoll_GivesLastErrorAndReason(t *testing.T) {
	late, broken := errors.New("too late"), errors.New("broken")
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, late)
	defer cancel()
	if err := poll(ctx, time.Millisecond, func() error { return broken }); !errors.Is(err, late) || !errors.Is(err, broken) {
		t.Errorf("error %v: want both", err)
	}
}
