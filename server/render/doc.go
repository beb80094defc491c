// Package render turns the Markdown of a language model into the text that a WeChat client shows:
// plain lines and <a> links, nothing else. It also takes the model's reasoning out, tells which part
// of a growing answer can already be shown, and cuts long text into pages.
//
// It knows nothing of turns, of HTTP, of WeChat's envelopes or of Dify: strings go in, strings come out.
//
// The parser reads line by line and never looks back further than the open paragraph. That is what
// makes [Partial] exact (what a line means is settled once it has been read) and the work linear: an
// answer is text from outside, and a model can be talked into writing 80 KB of brackets.
//
// What Markdown becomes:
//
//	# heading             【heading】
//	**a** __a__ *a* ~~a~~ a            also where CommonMark's flanking rule fails: **重要：**内容
//	- a, * a, + a         • a          nested lists are indented by two spaces
//	1. a                  1. a         numbers count up as in CommonMark, and never run behind the source
//	- [ ] a, - [x] a      ☐ a, ☑ a
//	> a                   > a          kept: a 「 」 around a growing quotation would have to move
//	---                   ————         also below a line of text: no underlined headings
//	| a | b |             a｜b         the delimiter row goes
//	`a`, ```a```          a            verbatim; reasoning tags and emphasis marks stay what they are
//	[a](https://b)        <a href="https://b">a</a>
//	[a](/b), [a](js:b)    a
//	![a](https://b)       <a href="https://b">a</a>
//	<https://b>           https://b    clients make bare URLs tappable themselves
//	<br>, <a>, <b>        new line, link if its target may be linked, nothing
//	[^1], <!-- a -->      nothing
//	$a_b$, \(a\)          as it is
//
// Reference links ([a][1]) stay as written: their targets come last, so a growing answer could not
// show them, and a reader can follow "[1]: https://…" unaided.
package render
