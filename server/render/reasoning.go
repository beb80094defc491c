package render

import "strings"

const (
	maxMark = 40  // bytes of a mark of forms.go, or of a tag to the end of its name
	maxTag  = 512 // bytes of a tag or a header of forms.go: what is longer is text, and a growing answer waits so long for its end
)

// form is a mark of the tables, ready to be looked up.
type form struct {
	mark string
	role role
	end  string // what ends what the mark begins
}

// role is what a mark or a token does.
type role int

const (
	standsAlone role = iota
	beginsReasoning
	endsReasoning
	beginsCall
	beginsChannel
	beginsMessage // a role's name follows
	endsMessage
)

// formsBy has the marks of the tables by their first bytes, and formStarts has those bytes.
var formsBy, formStarts = func() (map[byte][]form, [256]bool) {
	by, starts := map[byte][]form{}, [256]bool{0xE3: true} // 【 begins a citation
	add := func(f form) {
		by[f.mark[0]] = append(by[f.mark[0]], f)
		starts[f.mark[0]] = true
	}
	for _, m := range reasoningMarks {
		add(form{m.open, beginsReasoning, m.end})
		add(form{m.end, endsReasoning, ""})
	}
	for _, m := range callMarks {
		add(form{m.open, beginsCall, m.end})
	}
	for _, m := range strayMarks {
		add(form{m, standsAlone, ""})
	}
	return by, starts
}()

// tokens are the roles of tokens by their names. Others stand alone.
var tokens = func() map[string]role {
	roles := map[string]role{"channel": beginsChannel}
	for name := range messageEnds {
		roles[name] = endsMessage
	}
	for name := range roleTokens {
		roles[name] = beginsMessage
	}
	for name := range reasoningNames {
		for _, affixes := range startAffixes {
			roles[affixes[0]+name+affixes[1]] = beginsReasoning
		}
		for _, affixes := range endAffixes {
			roles[affixes[0]+name+affixes[1]] = endsReasoning
		}
	}
	return roles
}()

// mayBeReasoning are the beginnings of the names of reasoning.
var mayBeReasoning = func() map[string]bool {
	beginnings := map[string]bool{}
	for name := range reasoningNames {
		for i := range len(name) + 1 {
			beginnings[name[:i]] = true
		}
	}
	return beginnings
}()

// form handles one of the marks of the tables at i, and returns where to go on, 0 if there is none.
func (f *filter) form(i int) int {
	s := f.s[i:]
	for _, m := range formsBy[s[0]] {
		switch {
		case !f.final && strings.HasPrefix(m.mark, s):
			return f.hold(i)
		case strings.HasPrefix(s, m.mark):
			return f.apply(i, m)
		}
	}
	return 0
}

// apply leaves out what the mark at i begins or ends.
func (f *filter) apply(i int, m form) int {
	next := i + len(m.mark)
	switch {
	case f.mayBeCode(i):
		return f.hold(i)
	case m.role == endsReasoning:
		return f.loneEnd(i, next)
	case m.role == standsAlone:
		return f.leaveOut(i, next)
	}
	f.reasoned = f.reasoned || m.role == beginsReasoning
	return f.leaveOut(i, min(f.find(m.end, next)+len(m.end), len(f.s)))
}

// preamble leaves out reasoning that begins and ends with words, and returns where the rest starts.
func (f *filter) preamble() int {
	for _, p := range preambles {
		begins := strings.HasPrefix(f.s, p.open)
		n := strings.Index(f.s, p.end)
		switch {
		case !f.final && (begins && n < 0 || strings.HasPrefix(p.open, f.s)):
			return f.hold(0)
		case begins && n >= 0:
			return f.leaveOut(0, n+len(p.end))
		}
	}
	return 0
}

// mayBeCode reports whether what stands at i may turn out to be code.
func (f *filter) mayBeCode(i int) bool { return i < f.codeUntil || i < f.fencedUntil }

// loneEnd handles the end of reasoning that began before the answer: all up to next is left out. But a second end
// behind the answer takes nothing away.
func (f *filter) loneEnd(i, next int) int {
	if f.reasoned && strings.TrimSpace(f.s[next:]) == "" {
		return f.leaveOut(i, next)
	}
	f.out, f.from, f.openFence, f.tookBack = f.out[:0], next, false, true
	f.begun, f.wrapper = false, wrapper{}
	f.htmlState = newHTMLState()
	return next
}

// reasoningFence leaves out the code fence that starts in the line at i if its language is a name of reasoning: ```thinking. It returns
// where to go on, 0 if there is none.
func (f *filter) reasoningFence(i int) int {
	fence, ok := readFence(f.s[i:])
	name := strings.ToLower(fence.info)
	switch {
	case !ok:
		return 0
	case !fence.ended && !f.final && (name == "" || fence.run >= 3 && mayBeReasoning[strings.ReplaceAll(name, "-", "_")]):
		return f.hold(i)
	case fence.run < 3 || !isReasoning(name):
		return 0
	}
	next := len(f.s)
	if end := f.fenceEnd(i, fence.char, min(fence.run, maxFence)); end > 0 {
		next = end
	}
	f.reasoned = true
	return f.leaveOut(i, next)
}

// isReasoning reports whether an element of this name holds reasoning.
func isReasoning(name string) bool {
	return reasoningNames[name] || reasoningNames[strings.ReplaceAll(name, "-", "_")]
}

// formTag handles a tag of the tables.
func (f *filter) formTag(i int, name string) int {
	end := f.s[i+1] == '/'
	n := tagEnd(f.s[i:])
	switch {
	case n == 0 && (f.final || len(f.s)-i >= maxTag): // not a tag after all
		return i + 1
	case n == 0, f.mayBeCode(i):
		return f.hold(i)
	case end && isReasoning(name):
		return f.loneEnd(i, i+n)
	case tokens[name] == beginsMessage:
		return f.roleName(i, i+n)
	case end, answerTags[name], f.s[i+n-2] == '/':
		return f.leaveOut(i, i+n)
	}
	f.reasoned = f.reasoned || isReasoning(name)
	return f.leaveOut(i, f.elementEnd(i+n, name))
}

// elementEnd returns where the element ends that holds reasoning from body on. Elements of its name inside it are part of it.
// If it does not end, the last end of another element of reasoning is taken for its own (models mistake the name),
// else it reaches to the end of the answer.
func (f *filter) elementEnd(body int, name string) int {
	depth, last, other := 1, len(f.s), len(f.s)
	for at := f.findTag(body); at < len(f.s) && depth > 0; at = f.findTag(at + 1) {
		found, _ := tagName(f.s[at:])
		next := at + tagEnd(f.s[at:])
		switch isEnd := f.s[at+1] == '/'; {
		case isEnd && found == name:
			depth--
			last = next
		case found == name && f.s[next-2] != '/':
			depth++
		case isEnd && isReasoning(found) && isReasoning(name):
			other = next
		}
	}
	switch {
	case depth > 0 && !f.final:
		return len(f.s)
	case last < len(f.s):
		return last
	}
	return other
}

// findTag returns where the next complete tag stands at or behind i, len(s) if there is none.
func (f *filter) findTag(i int) int {
	for ; i < len(f.s); i++ {
		n := strings.IndexByte(f.s[i:], '<')
		if n < 0 {
			break
		}
		i += n
		if name, k := tagName(f.s[i:]); name != "" && tagEnd(f.s[i:]) > 0 && strings.IndexByte("> /\t\n", f.s[i+k]) >= 0 {
			return i
		}
	}
	return len(f.s)
}

// token handles a token of a model's template at i: <|im_end|>, <｜end▁of▁sentence｜>, <channel|>. It returns where to go on, 0 if
// there is none.
func (f *filter) token(i int) int {
	name, n := scanToken(f.s[i:])
	if n == 0 {
		return 0
	}
	next, role := i+n, tokens[name]
	if role == beginsChannel && f.s[i+1] != '|' { // <channel|>
		role = endsReasoning
	}
	switch {
	case f.mayBeCode(i):
		return f.hold(i)
	case role == endsReasoning && !f.channels:
		return f.loneEnd(i, next)
	case role == beginsChannel:
		return f.channel(i, next)
	case role == beginsReasoning:
		f.reasoned = true
		return f.leaveOut(i, f.messageEnd(next))
	case role == beginsMessage:
		return f.roleName(i, next)
	}
	return f.leaveOut(i, next)
}

// scanToken returns the name of the token that s starts with, in lower case, and its length.
func scanToken(s string) (name string, n int) {
	const bars = "|｜"
	end := max(strings.IndexByte(clip(s, maxMark), '>'), 1)
	name = strings.TrimLeft(s[1:end], bars)
	before := len(name) < end-1
	bare := strings.TrimRight(name, bars)
	after := len(bare) < len(name)
	name = strings.ReplaceAll(strings.ToLower(bare), "▁", "_")
	inside := func(r rune) bool { return !isWord(r) && !strings.ContainsRune("/-", r) }
	if name == "" || !before && !after || before != after && !halfTokens[name] || strings.ContainsFunc(name, inside) {
		return "", 0
	}
	return name, end + 1
}

// channel handles the header of a message that begins at i, with its name at next.
func (f *filter) channel(i, next int) int {
	const message = "<|message|>"
	rest := clip(f.s[next:], maxTag)
	body := 0
	for body < len(rest) && isAlnum(rest[body]) {
		body++
	}
	name, ended := strings.ToLower(rest[:body]), body < len(rest)
	if f.s[next-2] == '|' { // a header to its end
		body = strings.Index(rest, message) + len(message)
		ended = body >= len(message)
	}
	switch {
	case !ended && !f.final && len(rest) < maxTag:
		return f.hold(i)
	case !ended:
		return f.leaveOut(i, next)
	}
	first := !f.channels
	f.channels = true
	switch {
	case !answerChannels[name]:
		f.reasoned = true
		return f.leaveOut(i, f.messageEnd(next+body))
	case first: // what stands before it was a message too
		return f.loneEnd(i, next+body)
	}
	return f.leaveOut(i, next+body)
}

// messageEnd returns where the message, or the reasoning, ends whose text starts at body.
func (f *filter) messageEnd(body int) int {
	for at := body; ; at++ {
		n := strings.IndexByte(f.s[at:], '<')
		if n < 0 {
			return len(f.s)
		}
		at += n
		name, size := scanToken(f.s[at:])
		switch role := tokens[name]; {
		case size == 0:
		case role == endsMessage, role == endsReasoning, role == beginsChannel && f.s[at+1] != '|':
			return at + size
		case role == beginsMessage, role == beginsChannel:
			return at
		}
	}
}

// roleName leaves out the token at i that a role's name follows at next, and the name.
func (f *filter) roleName(i, next int) int {
	rest := clip(f.s[next:], maxMark)
	n := 0
	for n < len(rest) && (isAlnum(rest[n]) || strings.IndexByte("._-= ", rest[n]) >= 0) {
		n++
	}
	first, _, _ := strings.Cut(rest[:n], " ")
	switch {
	case n == len(rest) && len(rest) < maxMark && !f.final:
		return f.hold(i)
	case !roles[strings.ToLower(first)] && !strings.Contains(rest[:n], " to="):
		n = 0
	case n < len(rest) && rest[n] != '<' && rest[n] != '\n':
		n = len(first)
	}
	return f.leaveOut(i, next+n)
}

// details leaves out a details element whose type or summary says that it holds reasoning.
func (f *filter) details(i int) int {
	const open, end = "<summary", "</summary"
	size := tagEnd(f.s[i:])
	rest := clip(strings.TrimLeft(f.s[i+size:], " \t\n"), maxTag)
	n := indexFold(rest, end)
	switch {
	case !f.final && (size == 0 && len(f.s)-i < maxTag || len(rest) < len(open) && hasPrefixFold(open, rest)):
		return f.hold(i)
	case f.isReasoningType(i, size):
		return f.detailsReasoning(i, size)
	case size == 0 || !hasPrefixFold(rest, open):
		return f.tag(i, "details")
	case n < 0 && !f.final && len(rest) < maxTag:
		return f.hold(i)
	case n < 0: // cut off
		n = tagEnd(rest)
		n += strings.IndexAny(rest[n:]+"<", "<\n")
	}
	summary := strings.TrimLeft(f.text(rest[tagEnd(rest[:n]):n]), " \t\n*💭🤔🧠💡")
	for _, word := range summaryWords {
		if !hasPrefixFold(summary, word) || strings.HasPrefix(summary[len(word):], "题") {
			continue
		}
		return f.detailsReasoning(i, size)
	}
	return f.tag(i, "details")
}

// isReasoningType reports whether the tag of size bytes at i has the type of reasoning, as Open WebUI writes it:
// <details type="reasoning" done="true">.
func (f *filter) isReasoningType(i, size int) bool {
	t, st := f.readTag(i)
	return size > 0 && st == complete && isReasoning(strings.ToLower(t.attribute("type")))
}

// detailsReasoning leaves out the details element at i, whose tag has size bytes.
func (f *filter) detailsReasoning(i, size int) int {
	if f.mayBeCode(i) {
		return f.hold(i)
	}
	f.reasoned = true
	return f.leaveOut(i, f.elementEnd(i+size, "details"))
}

// tagEnd returns the length of the tag that s starts with, 0 if it does not end soon.
func tagEnd(s string) int { return strings.IndexByte(clip(s, maxTag), '>') + 1 }
