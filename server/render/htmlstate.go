package render

import "strings"

// htmlState is what is open where the filter stands.
type htmlState struct {
	heading int    // where the open heading starts in out, -1: none
	anchor  int    // where the open link starts in out, -1: none
	contact string // that the open link of a number or a mailbox leads to
	said    int    // where its text starts in out
	item    int    // where the text of the last item starts in out
	lists   []int  // number of the next item in each open list, 0 in one of bullets
	table   int    // open tables
	cells   int    // cells of the row so far
	cell    bool   // a cell or a caption is open
	blank   bool   // white space waits for text
	skip    bool   // white space is left out until there is text
}

func newHTMLState() htmlState { return htmlState{heading: -1, anchor: -1, item: -1} }

// flush writes the text before i.
func (f *filter) flush(i int) {
	text := f.s[f.from:i]
	f.from = i
	switch {
	case text == "":
		return
	case f.cell:
		f.flow(text)
		return
	case f.table > 0:
		if strings.Trim(text, " \t\n>") == "" { // a quotation's marks may stand between the tags
			return
		}
		f.table = 0
		f.edge()
	}
	if f.skip {
		if text = strings.TrimLeft(text, " \t\n"); text == "" {
			return
		}
	}
	f.put(text)
	if strings.Contains(text, "\n\n") {
		f.heading, f.anchor = -1, -1
	}
}

// flow writes text in one line, a blank for all white space.
func (f *filter) flow(text string) {
	for text != "" {
		word := strings.TrimLeft(text, " \t\n")
		if len(word) < len(text) {
			f.space()
		}
		n := len(word)
		if end := strings.IndexAny(word, " \t\n"); end >= 0 {
			n = end
		}
		if n > 0 {
			f.put(word[:n])
		}
		text = word[n:]
	}
}

// put writes text or marks.
func (f *filter) put(text string) {
	if f.out == nil {
		f.out = make([]byte, 0, len(f.s)+len(f.s)/8)
	}
	if f.blank {
		f.out = append(f.out, ' ')
	}
	f.blank, f.skip = false, false
	f.begun = f.begun || strings.TrimLeft(text, " \t\n") != ""
	f.out = append(f.out, text...)
}

func (f *filter) space() { f.blank = !f.skip }

// edge ends the line, but in a cell and in a link, which have one only.
func (f *filter) edge() {
	if f.cell || f.anchor >= 0 {
		f.space()
		return
	}
	f.endHeading()
	f.blank = false
	if n := len(f.out); n == 0 || n != f.item && f.out[n-1] != blockEdge {
		f.out = append(f.out, blockEdge)
	}
}

// endHeading puts the open heading into its brackets.
func (f *filter) endHeading() {
	if f.heading < 0 {
		return
	}
	text := strings.Join(strings.Fields(string(f.out[f.heading:])), " ")
	f.out = f.out[:f.heading]
	f.heading = -1
	if text != "" && !(strings.HasPrefix(text, "【") && strings.HasSuffix(text, "】")) {
		text = "【" + text + "】"
	}
	f.put(text)
}

// result returns what was written and cannot change any more.
func (f *filter) result() string {
	if f.from == 0 && !f.held { // there was nothing to leave out
		return f.grown(f.s)
	}
	if !f.held {
		f.flush(len(f.s))
	}
	for _, start := range [...]int{f.heading, f.anchor} {
		if !f.final && start >= 0 && start < len(f.out) {
			f.out = f.out[:start]
		}
	}
	return f.grown(string(f.out))
}

// grown returns s without the indentation of a line that has no more yet: if a tag follows, it changes.
func (f *filter) grown(s string) string {
	line := strings.TrimRight(s, " \t")
	if !f.final && (line == "" || line[len(line)-1] == '\n') {
		return line
	}
	return s
}
