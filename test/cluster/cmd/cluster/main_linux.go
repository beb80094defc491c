// Command cluster runs a real Kubernetes cluster on this machine: see package cluster, and docs/cluster.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/wechatbot/wechatbot-operator/test/cluster"
)

const usage = `usage: cluster [-bin FOLDER] COMMAND
  up                 bring the cluster up, and print how it is reached
  down               end it, and remove all it had on this machine
  load ARCHIVE...    give its node container images (docker-archive)
  exec COMMAND...    run a command in its node's namespaces
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if exit := exited(0); errors.As(err, &exit) {
		os.Exit(int(exit))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 3 && args[0] == cluster.NodeCommand { // started by `up`
		return cluster.RunNode(ctx, args[1], args[2])
	}
	flags := flag.NewFlagSet("cluster", flag.ExitOnError)
	flags.Usage = func() { fmt.Fprint(flags.Output(), usage) } //nolint:errcheck // nothing to do about it
	bin := flags.String("bin", "bin", "folder of the binaries; the cluster's own folder is cluster/state below it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	folder, err := filepath.Abs(*bin)
	if err != nil {
		return fmt.Errorf("finding the folder of the binaries: %w", err)
	}
	m := &cluster.Machine{Bin: folder, State: filepath.Join(folder, "cluster", "state"), Out: os.Stdout}
	switch command := flags.Arg(0); command {
	case "up":
		return m.Up(ctx)
	case "down":
		return m.Down(ctx)
	case "load":
		return m.Load(ctx, flags.Args()[1:]...)
	case "exec":
		if flags.NArg() < 2 {
			return errors.New("exec: which command?")
		}
		err := m.Exec(ctx, os.Stdin, os.Stdout, flags.Arg(1), flags.Args()[2:]...)
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			return exited(exit.ExitCode())
		}
		return err
	default:
		flags.Usage()
		return fmt.Errorf("no command %q", command)
	}
}

// exited is the exit code of the command that was run: it has said itself what was wrong.
type exited int

func (e exited) Error() string { return fmt.Sprintf("exit code %d", int(e)) }
