// Package docs reads the repository's Markdown as its users do: tests follow the links of every page, apply its objects
// and run its commands. It knows Markdown and bash, and nothing of bots and clusters.
//
// A fenced block may be preceded by comments, one a line:
//
//	<!-- file: bot.yaml -->     the block is the content of a file that later commands of the page use
//	<!-- run: e2e -->           the commands are run on a cluster, by test/e2e
//	<!-- run: local -->         the commands are run by the tests of package live, in the repository's folder
//	<!-- run: no, WHY -->       the commands are not run
//
// In a console block a line that begins with "$ " is a command, which goes on behind a backslash at its end; all other
// lines are what it prints.
package docs

import (
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Mark says by whom the commands of a block are run.
type Mark string

// The marks.
const (
	E2E      Mark = "e2e"
	Local    Mark = "local"
	No       Mark = "no"
	Unmarked Mark = ""
)

// Page is one Markdown file.
type Page struct {
	// Path is relative to the repository, with slashes.
	Path string
	// Blocks are the fenced blocks, in order.
	Blocks []Block
	// Links are those of the text outside of code.
	Links []Link
	// Anchors are the fragments that links to this page can have.
	Anchors []string
	// Spans are the code spans of the text.
	Spans []Span
}

// Block is one fenced block.
type Block struct {
	// Line is that of the opening fence.
	Line int
	// Language is the first word behind the fence: console, yaml.
	Language string
	// File is the name from a file comment; empty is none.
	File string
	// Run and Why are from a run comment.
	Run Mark
	Why string
	// Text is what is between the fences, without their indentation.
	Text string
}

// Command is one command of a console block, continuation lines included.
type Command struct {
	Line int
	Text string
}

// Link is a link or an image.
type Link struct {
	Line   int
	Target string
}

// Span is a code span.
type Span struct {
	Line int
	Text string
}

// Commands gives the commands of a console block; other blocks have none.
func (b Block) Commands() []Command {
	if b.Language != "console" {
		return nil
	}
	var all []Command
	continued := false
	for i, line := range strings.Split(b.Text, "\n") {
		switch command, begins := strings.CutPrefix(line, "$ "); {
		case continued:
			all[len(all)-1].Text += "\n" + line
		case begins:
			all = append(all, Command{Line: b.Line + 1 + i, Text: command})
		default: // what a command prints
			continue
		}
		continued = strings.HasSuffix(line, `\`)
	}
	return all
}

// notOurs are folders without pages for readers: tools' output, and recordings that are not to be edited.
var notOurs = []string{".git", "bin", "dist", "testdata", "node_modules"}

// Pages reads every Markdown file below root, the repository's folder, in the order of their paths.
func Pages(root string) ([]Page, error) {
	var all []Page
	files := os.DirFS(root)
	err := fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains(notOurs, entry.Name()):
			return fs.SkipDir
		case entry.IsDir() || !strings.HasSuffix(path, ".md"):
			return nil
		}
		content, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		page, err := Parse(path, string(content))
		all = append(all, page)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the pages: %w", err)
	}
	return all, nil
}

var (
	fence   = regexp.MustCompile("^( *)(`{3,}|~{3,}) *([^`]*)$")
	comment = regexp.MustCompile(`^ *<!-- *(file|run): *(.*?) *-->$`)
	heading = regexp.MustCompile(`^#{1,6} +(.*?)(?: +#+)?$`)
	span    = regexp.MustCompile("``(.+?)``|`([^`]+)`")
	link    = regexp.MustCompile(`\]\(\s*<?([^\s)>]*)>?(?:\s+"[^"]*")?\s*\)`)
	named   = regexp.MustCompile(`^ {0,3}\[[^\]]+\]: +<?(\S+?)>?(?: +"[^"]*")?$`)
	tag     = regexp.MustCompile(`<(?:a|img)\b[^>]*?\b(href|src|id|name)="([^"]*)"`)
	htmlRef = []string{"href", "src"}
)

// Parse reads one page. Its error names the line: a fence without end, a comment that belongs to no block, a mark that
// is none.
func Parse(path, content string) (Page, error) {
	p := parser{page: Page{Path: path}}
	for i, line := range strings.Split(content, "\n") {
		if err := p.line(i+1, strings.TrimSuffix(line, "\r")); err != nil {
			return p.page, err
		}
	}
	if p.open {
		return p.page, p.errorf(p.block.Line, "the block has no end")
	}
	return p.page, p.orphan()
}

type parser struct {
	page   Page
	block  Block
	open   bool   // in a block
	fence  string // of the open block
	indent string
	said   int // line of the last comment that waits for its block; 0 is none
}

func (p *parser) errorf(line int, format string, arguments ...any) error {
	return fmt.Errorf("%s:%d: %s", p.page.Path, line, fmt.Sprintf(format, arguments...))
}

func (p *parser) line(number int, line string) error {
	if p.open {
		if strings.TrimSpace(line) == p.fence {
			p.page.Blocks = append(p.page.Blocks, p.block)
			p.block, p.open = Block{}, false
			return nil
		}
		p.block.Text += strings.TrimPrefix(line, p.indent) + "\n"
		return nil
	}
	if m := fence.FindStringSubmatch(line); m != nil {
		language, _, _ := strings.Cut(m[3], " ")
		p.block.Line, p.block.Language = number, language
		p.open, p.indent, p.fence, p.said = true, m[1], m[2], 0
		return nil
	}
	if m := comment.FindStringSubmatch(line); m != nil {
		return p.comment(number, m[1], m[2])
	}
	if strings.TrimSpace(line) != "" {
		if err := p.orphan(); err != nil {
			return err
		}
	}
	p.text(number, line)
	return nil
}

func (p *parser) orphan() error {
	if p.said == 0 {
		return nil
	}
	return p.errorf(p.said, "the comment is not followed by a block")
}

func (p *parser) comment(number int, key, value string) error {
	p.said = number
	if key == "file" {
		if value == "" || strings.ContainsAny(value, "/\\ ") {
			return p.errorf(number, "%q is not the name of a file", value)
		}
		p.block.File = value
		return nil
	}
	mark, why, _ := strings.Cut(value, ",")
	p.block.Run, p.block.Why = Mark(strings.TrimSpace(mark)), strings.TrimSpace(why)
	switch {
	case p.block.Run != E2E && p.block.Run != Local && p.block.Run != No:
		return p.errorf(number, "run: %q is none of e2e, local and no", mark)
	case (p.block.Run == No) != (p.block.Why != ""):
		return p.errorf(number, "run: no, and only no, has a reason behind a comma")
	}
	return nil
}

// text takes a line outside of blocks.
func (p *parser) text(number int, line string) {
	if m := heading.FindStringSubmatch(line); m != nil {
		p.page.Anchors = append(p.page.Anchors, unique(slug(m[1]), p.page.Anchors))
	}
	for _, m := range span.FindAllStringSubmatch(line, -1) {
		p.page.Spans = append(p.page.Spans, Span{Line: number, Text: strings.TrimSpace(m[1] + m[2])})
	}
	line = span.ReplaceAllString(line, "`")
	for _, m := range slices.Concat(link.FindAllStringSubmatch(line, -1), named.FindAllStringSubmatch(line, -1)) {
		p.page.Links = append(p.page.Links, Link{Line: number, Target: m[1]})
	}
	for _, m := range tag.FindAllStringSubmatch(line, -1) {
		if slices.Contains(htmlRef, m[1]) {
			p.page.Links = append(p.page.Links, Link{Line: number, Target: m[2]})
		} else {
			p.page.Anchors = append(p.page.Anchors, m[2])
		}
	}
}

var (
	linked  = regexp.MustCompile(`!?\[([^\]]*)\]\([^)]*\)`)
	dropped = regexp.MustCompile(`[^\p{L}\p{N}\p{M} _-]`)
)

// slug is the anchor that GitHub gives a heading.
func slug(heading string) string {
	text := linked.ReplaceAllString(heading, "$1")
	return strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(text), ""), " ", "-")
}

func unique(anchor string, taken []string) string {
	name := anchor
	for n := 1; slices.Contains(taken, name); n++ {
		name = fmt.Sprintf("%s-%d", anchor, n)
	}
	return name
}

// Code gives all that the page shows as code: spans, and commands in one line each, by where they are.
func (p Page) Code() map[string][]string {
	all := map[string][]string{}
	add := func(line int, text string) {
		at := fmt.Sprintf("%s:%d", p.Path, line)
		all[at] = append(all[at], text)
	}
	for _, s := range p.Spans {
		add(s.Line, s.Text)
	}
	for _, b := range p.Blocks {
		for _, c := range b.Commands() {
			add(c.Line, strings.ReplaceAll(c.Text, "\\\n", " "))
		}
	}
	return all
}

var flagName = regexp.MustCompile(`(?:^|[\s,])--([a-z][a-z0-9-]*)`)

// Flags are the names of those that a text has, such as a command or its help.
func Flags(text string) (names []string) {
	for _, m := range flagName.FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	return names
}

// Read gives the pages below a repository's root to a test. That there are few is a mistake of its path.
func Read(t testing.TB, root string) []Page {
	t.Helper()
	all, err := Pages(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("only %d pages found", len(all))
	}
	return all
}
