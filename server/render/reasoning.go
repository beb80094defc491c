package render

import "strings"

// How far a tag may reach before it is taken for text; a growing answer waits this long for its end.
const maxReasoningTag = 512

// Fences longer than this are treated as this long, so that hostile input cannot make the search for
// their ends expensive.
const maxFence = 16

// Visible returns markdown without the model's reasoning and without HTML comments:
//   - <think>…</think> and <thinking>…</thinking>, with attributes and in any letter case; unclosed, to the end
//     (a model that was cut off);
//   - everything before a lone </think> (templates that put the opening tag into the prompt);
//   - <details> whose summary speaks of thinking, as Dify 0.15 wrapped it; other details stay.
//
// A tag inside a closed code fence or a closed code span is text. With final false the answer is still
// growing: an open reasoning block, a tail that could become a tag ("<thi"), and a tag whose code may
// yet be closed are withheld. Only LF ends a line; pass complete answers as they came.
func Visible(markdown string, final bool) string {
	if strings.IndexByte(markdown, '<') < 0 {
		return markdown
	}
	r := reasoning{s: markdown, final: final}
	r.scan()
	return r.result()
}

// reasoning is one pass over an answer.
type reasoning struct {
	s     string
	final bool

	kept  strings.Builder
	from  int // start of visible text not yet kept
	end   int // where reading stopped
	held  bool
	doubt int // tags before this offset wait: code that may be closed later began earlier

	noFence   [2]int // per fence character: fences at least this long have no end; 0: not known
	noComment bool
}

func (r *reasoning) result() string {
	if r.kept.Len() == 0 {
		return r.s[r.from:r.end]
	}
	r.kept.WriteString(r.s[r.from:r.end])
	return r.kept.String()
}

func (r *reasoning) scan() {
	r.end = len(r.s)
	for i := 0; i < len(r.s) && !r.held; {
		if i == 0 || r.s[i-1] == '\n' {
			if after, ok := r.fence(i); ok {
				i = after
				continue
			}
		}
		eol := len(r.s)
		if n := strings.IndexByte(r.s[i:], '\n'); n >= 0 {
			eol = i + n + 1
		}
		i = r.line(i, eol)
	}
}

// fence passes over a closed code fence that starts in the line at i.
func (r *reasoning) fence(i int) (after int, ok bool) {
	c, n := fenceStart(r.s[i:])
	if n == 0 {
		return 0, false
	}
	kind := 0
	if c == '~' {
		kind = 1
	}
	if r.noFence[kind] != 0 && n >= r.noFence[kind] {
		return 0, false
	}
	first := true
	at := i
	for line := range strings.SplitAfterSeq(r.s[i:], "\n") {
		at += len(line)
		if !first && isFenceEnd(strings.TrimLeft(line, " \t>"), c, n) && (r.final || strings.HasSuffix(line, "\n")) {
			return at, true
		}
		first = false
	}
	r.noFence[kind] = n
	if !r.final {
		r.doubt = len(r.s)
	}
	return 0, false
}

// fenceStart returns the fence that opens in the first line of s, behind quote and list marks.
func fenceStart(s string) (c byte, n int) {
	for {
		s = strings.TrimLeft(s, " \t>")
		m := scanMarker(s)
		if m.width == 0 {
			break
		}
		s = s[m.width:]
	}
	if s == "" {
		return 0, 0
	}
	line, _, _ := strings.Cut(s, "\n")
	c, n, ok := scanFence(line)
	if !ok {
		return 0, 0
	}
	return c, n
}

// line reads s[i:eol] and returns where to go on, which a reasoning block may put into a later line.
func (r *reasoning) line(i, eol int) int {
	var noSpan [maxTicks + 1]bool
	for i < eol {
		n := strings.IndexAny(r.s[i:eol], "<`")
		if n < 0 {
			return eol
		}
		i += n
		if r.s[i] == '<' {
			if i = r.tag(i); r.held {
				return i
			}
			continue
		}
		ticks := runLength(r.s[i:eol], '`')
		if ticks <= maxTicks && !noSpan[ticks] {
			if end := spanEnd(r.s[i+ticks:eol], ticks); end >= 0 && !r.mayGrow(i+ticks+end+ticks) {
				i += ticks + end + ticks
				continue
			}
			noSpan[ticks] = true
			if !r.final && r.s[eol-1] != '\n' {
				r.doubt = eol
			}
		}
		i += ticks
	}
	return i
}

// mayGrow reports whether a run of marks that ends at i could become longer.
func (r *reasoning) mayGrow(i int) bool { return !r.final && i == len(r.s) }

// tag looks at the '<' at i and returns where to go on.
func (r *reasoning) tag(i int) int {
	s := r.s[i:]
	switch name := reasoningTag(s); name {
	case "":
		if !r.final && couldBeTag(s) {
			r.hold(i)
		}
		return i + 1
	case "<!--":
		return r.comment(i)
	case "<details":
		return r.details(i)
	default:
		return r.think(i, name)
	}
}

func (r *reasoning) hold(i int) { r.end, r.held = i, true }

// think leaves out a reasoning block, or what stands before a lone end of one.
func (r *reasoning) think(i int, name string) int {
	n := tagEnd(r.s[i:])
	switch {
	case n == 0: // still open, or not a tag after all
		if !r.final && len(r.s)-i < maxReasoningTag {
			r.hold(i)
		}
		return i + 1
	case i < r.doubt:
		r.hold(i)
		return i
	case name[1] == '/':
		r.kept.Reset()
		r.from = i + n
		return r.from
	}
	return r.leaveOut(i, i+n, "</"+name[1:])
}

// details leaves out a details element whose summary says that it holds reasoning.
func (r *reasoning) details(i int) int {
	switch n, verdict := thinkingDetails(r.s[i:]); {
	case verdict == undecided && !r.final, verdict == yes && i < r.doubt:
		r.hold(i)
		return i
	case verdict == yes:
		return r.leaveOut(i, i+n, "</details")
	}
	return i + 1
}

func (r *reasoning) comment(i int) int {
	if !r.noComment {
		if n := strings.Index(r.s[i+4:], "-->"); n >= 0 {
			if i < r.doubt {
				r.hold(i)
				return i
			}
			r.keep(i)
			r.from = i + 4 + n + 3
			return r.from
		}
		r.noComment = true
	}
	if !r.final {
		r.hold(i)
	}
	return i + 1
}

// leaveOut drops the block that begins at i, whose content begins at body and ends with the closing
// tag end. Without one the block reaches to the end of the answer.
func (r *reasoning) leaveOut(i, body int, end string) int {
	r.keep(i)
	for at := body; ; {
		n := indexFold(r.s[at:], end)
		if n < 0 {
			break
		}
		at += n
		if size := tagEnd(r.s[at:]); size > 0 {
			r.from = at + size
			return r.from
		}
		at += len(end)
	}
	r.from = len(r.s)
	return r.from
}

func (r *reasoning) keep(i int) { r.kept.WriteString(r.s[r.from:i]) }
