package cluster

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const cgroupRoot = "/sys/fs/cgroup"

// cgroup is a cluster's own control group. On cgroup v2 it is one folder, on v1 one in every hierarchy. The daemons
// are in its child "daemons", pods in the one that the kubelet makes.
type cgroup struct{ name string }

// cgroupOf is the control group of the cluster whose folder is given: two clusters do not meet in one.
func cgroupOf(state string) cgroup {
	return cgroup{name: fmt.Sprintf("wechatbot-%.4x", sha256.Sum256([]byte(state)))}
}

// hierarchies are the folders below which control groups are made.
func hierarchies() ([]string, error) {
	if _, err := os.Stat(filepath.Join(cgroupRoot, "cgroup.controllers")); err == nil {
		return []string{cgroupRoot}, nil
	}
	found, err := filepath.Glob(filepath.Join(cgroupRoot, "*", "cgroup.procs"))
	if err != nil || len(found) == 0 {
		return nil, errors.Join(fmt.Errorf("no control groups below %s", cgroupRoot), err)
	}
	for i, file := range found {
		found[i] = filepath.Dir(file)
	}
	return slices.Compact(found), nil
}

// create makes the group, and its child for the daemons.
func (c cgroup) create() error {
	roots, err := hierarchies()
	if err != nil {
		return err
	}
	for _, root := range roots {
		for _, dir := range []string{filepath.Join(root, c.name), filepath.Join(root, c.name, "daemons")} {
			if err := os.MkdirAll(dir, 0o750); err != nil {
				return fmt.Errorf("making a control group: %w", err)
			}
			// On cgroup v1 a new group has no processors and no memory, and takes no process before it has.
			for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
				if err := inherit(dir, file); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func inherit(dir, file string) error {
	value, err := os.ReadFile(filepath.Join(filepath.Dir(dir), file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && strings.TrimSpace(string(value)) != "" {
		err = os.WriteFile(filepath.Join(dir, file), value, 0o644) //nolint:gosec // a file of the kernel's
	}
	if err != nil {
		return fmt.Errorf("setting %s of a control group: %w", file, err)
	}
	return nil
}

// add moves a process into the group of the daemons.
func (c cgroup) add(pid int) error {
	roots, err := hierarchies()
	if err != nil {
		return err
	}
	for _, root := range roots {
		file := filepath.Join(root, c.name, "daemons", "cgroup.procs")
		if err := os.WriteFile(file, []byte(strconv.Itoa(pid)), 0o644); err != nil { //nolint:gosec // a file of the kernel's
			return fmt.Errorf("moving the node into its control group: %w", err)
		}
	}
	return nil
}

// remove removes the group with all below it, as soon as the last process of it has gone.
func (c cgroup) remove(ctx context.Context) error {
	roots, err := hierarchies()
	if err != nil {
		return err
	}
	for _, root := range roots {
		if err := poll(ctx, 50*time.Millisecond, func() error { return removeTree(filepath.Join(root, c.name)) }); err != nil {
			return fmt.Errorf("removing the control group: %w", err)
		}
	}
	return nil
}

// removeTree removes a control group from the leaves up: its files are not to be removed, only its folders.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeTree(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	return os.Remove(dir)
}

// poll calls a function until it returns nil, and returns its last error when the context ends before.
func poll(ctx context.Context, every time.Duration, f func() error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}
