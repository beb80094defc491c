// Package previous builds commands of the previous release from its source in this repository's history, for tests of
// what an upgrade meets: its servers under a newer operator, its operator's objects.
package previous

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Commit is the previous release's: the last one before this version's changes.
const Commit = "cbb6096"

// Texts are the keys of reply.texts that it knows.
var Texts = []string{
	"welcome", "help", "waiting", "queued", "busy", "tooManyOpen", "cleared", "stopped", "nothingToStop", "unsupported", "failed",
	"quotaExceeded", "rateLimited", "timedOut", "misconfigured", "nothingYet", "emptyAnswer", "continue", "orReply", "retry", "cutShort",
}

// Source puts the previous release's source into dir, from the repository that the working directory is in.
func Source(ctx context.Context, dir string) error {
	top, err := output(ctx, "", "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return fmt.Errorf("finding the repository: %w", err)
	}
	archive := filepath.Join(dir, "source.tar")
	if _, err := output(ctx, top, "git", "archive", "--format=tar", "--output="+archive, Commit); err != nil {
		return fmt.Errorf("the previous release's commit (a shallow clone lacks it: git fetch --unshallow): %w", err)
	}
	if _, err := output(ctx, dir, "tar", "-xf", archive); err != nil {
		return fmt.Errorf("unpacking: %w", err)
	}
	return os.Remove(archive)
}

// Build builds a command, such as server, from the source in dir and returns the binary's path.
func Build(ctx context.Context, dir, command string, env ...string) (string, error) {
	binary := filepath.Join(dir, "bin", command)
	version := "-X main.version=" + Commit
	build := exec.CommandContext(ctx, "go", "build", "-ldflags", version, "-o", binary, "./cmd/"+command) //nolint:gosec // a test names it
	build.Dir = dir
	build.Env = append(os.Environ(), env...)
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the previous release's %s: %w: %s", command, err, out)
	}
	return binary, nil
}

func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	var stderr strings.Builder
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // git and tar
	cmd.Dir, cmd.Stderr = dir, io.Writer(&stderr)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}
