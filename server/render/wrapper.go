package render

import "strings"

// wrapper is the code fence that models put around a whole answer: ```markdown. What it holds is the answer.
//
// It is known by its first line alone, so that nothing that was shown of a growing answer has to change: an answer that begins
// with such a fence is read as if that line were not there, and what follows the wrapper's end is Markdown too.
//
// Where it ends is ambiguous, as models fence the code in it with as many characters. A fence that names a language begins
// code, and the next bare fence ends that. Another bare fence begins code only if text follows it at once and the next
// fence is bare too; else it ends the wrapper. A wrapper without an end was cut off.
type wrapper struct {
	char byte
	size int // 0: no wrapper is open
}

// wrapperNames are the languages of a wrapper.
var wrapperNames = [...]string{"markdown", "md"}

// fenceLine is a line that begins with a character of code fences.
type fenceLine struct {
	char  byte
	run   int    // how many of them
	info  string // what follows them, trimmed
	size  int    // bytes of the line
	ended bool   // by a line feed
}

// readFence reads the first line of s.
func readFence(s string) (fence fenceLine, ok bool) {
	mark := strings.TrimLeft(clip(s, 4), " ")
	if mark == "" || mark[0] != '`' && mark[0] != '~' {
		return fenceLine{}, false
	}
	line, _, ended := strings.Cut(s, "\n")
	text := strings.TrimLeft(line, " ")
	n := runLength(text, text[0])
	fence = fenceLine{text[0], n, strings.Trim(text[n:], " \t"), len(line), ended}
	if ended {
		fence.size++
	}
	return fence, true
}

// unwrap leaves out the fence at i if it begins or ends the answer's wrapper. It returns where to go on, 0 if it does neither.
func (f *filter) unwrap(i int) int {
	fence, ok := readFence(f.s[i:])
	if !ok {
		return 0
	}
	if !f.begun {
		f.begun = strings.TrimLeft(f.s[f.from:i], " \t\n") != ""
	}
	if !f.begun {
		switch {
		case !f.final && fence.mayBecomeWrapper():
			return f.hold(i)
		case fence.beginsWrapper():
			f.wrapper = wrapper{fence.char, min(fence.run, maxFence)}
			return f.leaveOut(i, i+fence.size)
		}
		f.begun = true
	}
	w := f.wrapper
	if w.size == 0 || f.openFence || fence.char != w.char || fence.run < w.size || fence.info != "" {
		return 0
	}
	ends, known := f.endsWrapper(fence, i+fence.size)
	switch {
	case !known:
		return f.hold(i)
	case !ends:
		return 0
	}
	f.wrapper = wrapper{}
	next := f.leaveOut(i, i+fence.size)
	f.put("\n") // what follows is a paragraph of its own
	return next
}

// endedInLine reports whether nothing is in front of i but what was left out, and that has ended in this line: </think>```markdown.
func (f *filter) endedInLine(i int) bool {
	return !f.begun && f.table == 0 && f.from > 0 && f.s[f.from-1] != '\n' && i-f.from <= 3 && strings.Trim(f.s[f.from:i], " ") == ""
}

func (l *fenceLine) beginsWrapper() bool {
	for _, name := range wrapperNames {
		if l.run >= 3 && strings.EqualFold(l.info, name) {
			return true
		}
	}
	return false
}

// mayBecomeWrapper reports whether the line grows, and may become the first one of a wrapper.
func (l *fenceLine) mayBecomeWrapper() bool {
	for _, name := range wrapperNames {
		if !l.ended && (l.info == "" || l.run >= 3 && hasPrefixFold(name, l.info)) {
			return true
		}
	}
	return false
}

// endsWrapper reports whether a bare fence ends the wrapper, by what follows it at i, and whether that is known.
func (f *filter) endsWrapper(bare fenceLine, i int) (ends, known bool) {
	if !bare.ended && !f.final {
		return false, false
	}
	first := true
	for line := range strings.SplitAfterSeq(f.s[i:], "\n") {
		c, _ := fenceStart(line)
		switch {
		case !f.final && !strings.HasSuffix(line, "\n"):
			return false, false
		case first && strings.TrimSpace(line) == "":
			return true, true
		case c == bare.char:
			return !isFenceEnd(strings.TrimLeft(line, " \t>"), c, min(bare.run, maxFence)), true
		}
		first = false
	}
	return true, f.final
}
