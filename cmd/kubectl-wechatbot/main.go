// Command kubectl-wechatbot is a plugin of kubectl for those who run bots: kubectl wechatbot. It does what it does with the
// user's own rights in the cluster, and asks the bots' servers through the API server.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/wechatbot/wechatbot-operator/cmd/chat/prompt"
	"github.com/wechatbot/wechatbot-operator/cmd/kubectl-wechatbot/doctor"
)

// version is what --version prints; the linker sets it in a release.
var version = "dev"

// Exit codes beside 0. Of doctor, found says that something is wrong with the bot; of all commands, failed that they could
// not do what they were asked for.
const (
	found       = 1
	failed      = 2
	interrupted = 130
)

// errFound ends doctor with found when everything has been said already.
var errFound = errors.New("something is wrong")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := terminal{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Getenv}.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// terminal is what the command is connected to.
type terminal struct {
	in       io.Reader
	out, err io.Writer
	env      func(string) string
	outside  *doctor.Outside // nil: the network
}

// run gives the exit code.
func (t terminal) run(ctx context.Context, args []string) int {
	c := t.command() //nolint:contextcheck // cobra hands the context over
	c.SetArgs(args)
	err := c.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errFound):
		return found
	case ctx.Err() != nil:
		return interrupted
	case errors.Is(err, prompt.ErrNoReply): // it was shown
		return failed
	}
	_, _ = fmt.Fprintln(t.err, "error:", err)
	return failed
}
