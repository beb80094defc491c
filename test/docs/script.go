package docs

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Example is what pages say where readers put what is theirs. A run puts the value of an environment variable there.
type Example struct {
	// Variable is the environment variable's name.
	Variable string
	// Text is what the pages say.
	Text string
	// Meaning is for docs/README.md.
	Meaning string
}

// Examples are all that pages use. Longer texts come before those that they contain.
func Examples() []Example {
	return []Example{
		{"IMAGE", "registry.example.com/wechatbot-operator:v0.1.0", "the operator's image"},
		{"DIFY_URL", "http://dify.example.com/v1", "the address of Dify's service API"},
		{"DOMAIN", "bot.example.com", "the bot's domain"},
		{"ISSUER", "letsencrypt", "a ClusterIssuer of cert-manager's"},
	}
}

// Given are the environment variables that commands of pages may use without setting them: readers set them once, as
// docs/tutorial.md shows, and whoever runs the pages gives them.
func Given() []string {
	return []string{"CHART", "DIFY_KEY", "HOME", "PATH", "PWD", "VERSION", "WECHAT_TOKEN"}
}

// Run does what a page says.
type Run struct {
	// Marks are those of the blocks to run.
	Marks []Mark
	// Dir is where commands run, the repository's folder or a copy of it. The page's files are written there, and
	// removed in the end; none of them may be there before.
	Dir string
	// Env are the variables, NAME=VALUE; nothing is inherited. Those of Examples replace what the pages say.
	Env []string
	// Out gets each command, and what it prints; nil discards it.
	Out io.Writer
}

const (
	marker      = "docs-at "
	stopTimeout = 10 * time.Second
)

// Page runs the blocks of a page in order, in one bash, and stops at the first command that fails: the error names its
// line. What commands leave running in the background is killed in the end.
func (r Run) Page(ctx context.Context, p Page) (err error) {
	var files []string
	for _, block := range p.Blocks {
		if block.File == "" {
			continue
		}
		path := filepath.Join(r.Dir, block.File)
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("%s: %s is there already", p.Path, path)
		}
		files = append(files, path)
	}
	defer func() {
		for _, path := range files {
			_ = os.Remove(path) // it is not there if the script ended before
		}
	}()
	cmd := exec.CommandContext(ctx, "bash", "-c", r.script(p)) //nolint:gosec // running what pages say is the purpose
	cmd.Dir, cmd.Env, cmd.WaitDelay = r.Dir, r.Env, stopTimeout
	out := &tail{to: r.Out}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s:%s: %w\n%s", p.Path, out.at, err, out.last)
	}
	return nil
}

// script is a page as a program. Every command is announced, so that a failure can be told by its line.
func (r Run) script(p Page) string {
	var s strings.Builder
	s.WriteString("set -euo pipefail\ntrap 'jobs -p | xargs -r kill 2>/dev/null || true' EXIT\n")
	for _, block := range p.Blocks {
		if block.File != "" {
			fmt.Fprintf(&s, "cat >%s <<'END OF %[1]s'\n%sEND OF %[1]s\n", block.File, block.Text)
		}
		if !slices.Contains(r.Marks, block.Run) {
			continue
		}
		for _, command := range block.Commands() {
			fmt.Fprintf(&s, "echo '%s%d'\n%s\n", marker, command.Line, command.Text)
		}
	}
	return r.replacer().Replace(s.String())
}

// replacer puts the run's values where the pages have examples.
func (r Run) replacer() *strings.Replacer {
	var pairs []string
	for _, example := range Examples() {
		for _, variable := range r.Env {
			if value, ok := strings.CutPrefix(variable, example.Variable+"="); ok {
				pairs = append(pairs, example.Text, value)
			}
		}
	}
	return strings.NewReplacer(pairs...)
}

// tail passes on what a script prints, and remembers the line of the page and the end of what was printed since.
type tail struct {
	to       io.Writer
	at, last string
	rest     string // of a line that has not ended
}

const tailBytes = 4 << 10

func (t *tail) Write(b []byte) (int, error) {
	if t.to != nil {
		if _, err := t.to.Write(b); err != nil {
			return 0, err
		}
	}
	t.rest += string(b)
	for {
		line, rest, ended := strings.Cut(t.rest, "\n")
		if !ended {
			break
		}
		t.rest = rest
		if at, ok := strings.CutPrefix(line, marker); ok {
			t.at, t.last = at, ""
			continue
		}
		t.last += line + "\n"
		t.last = t.last[max(0, len(t.last)-tailBytes):]
	}
	t.rest = t.rest[max(0, len(t.rest)-tailBytes):]
	return len(b), nil
}
