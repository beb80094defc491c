// Package render turns the answer of a language model, Markdown with some HTML, into the text that a WeChat client
// shows: plain lines and <a> links, nothing else. It takes the model's reasoning out, links the files of the answer, tells
// which part of a growing answer can already be shown, and cuts long text into pages.
//
// It knows nothing of turns, of HTTP, of WeChat's envelopes or of Dify's API: strings go in, strings come out.
//
// Two passes read an answer. The filter (filter.go) takes out what is not for the follower and replaces the tags of
// HTML; what it leaves is Markdown, with private marks in place of the tags. The document (block.go) reads that line by
// line and never looks back further than the open paragraph. Each pass knows what it has read but cannot decide yet; that
// makes [Partial] exact. Both are linear: an answer is text from outside, and a model can be talked into writing 80 KB of
// brackets.
//
// What Markdown becomes:
//
//	# heading, ##heading  【heading】
//	**a** __a__ *a* ~~a~~ a            also where CommonMark's flanking rule fails, **重要：**内容, and ** with blanks **
//	__init__, 2 ** 3      as it is     names and sums
//	- a, * a, + a         • a          nested lists are indented by two spaces
//	1. a                  1. a         numbers count up as in CommonMark, and never run behind the source
//	- [ ] a, - [x] a      ☐ a, ☑ a
//	> a                   > a          kept: a 「 」 around a growing quotation would have to move
//	> [!NOTE]             > 说明
//	---                   ————         also below a line of text: no underlined headings
//	| a | b |             a｜b         the delimiter row goes
//	`a`, ```a```          a            verbatim; tags and marks stay what they are
//	```markdown           nothing      around a whole answer (wrapper.go)
//	[a](https://b)        <a href="https://b">a</a>, also with blanks in the address
//	[a](/b), [a](js:b)    a            but /files/… leads to Dify
//	[a](tel:1)            a（1）       so mailto:, unless the text says it
//	![a](https://b)       <a href="https://b">a</a>
//	<https://b>           https://b    clients make bare URLs tappable themselves
//	[^1], [^1]: a         [1], [1] a         so [^1^] and [citation:1]
//	$a_b$, \(a\)          as it is
//
// and HTML:
//
//	<p>, <div>, <br>      a new line
//	<h1>, <ul>, <table>   as in Markdown, however they are indented
//	<a>, <img>, <audio>   a link, if it may lead there; so <video>, <iframe>, <object>, <embed>, <source>
//	<button>              a tap-link of its data-message, a link of its data-link
//	10<sup>8</sup>, a<sub>n</sub>      10⁸, a_n
//	<style>, <svg>, <!--  nothing, and nothing of what they hold
//	<b>, <span>           nothing, but what they hold
//
// Reference links ([a][1]) stay as written: their targets come last, so a growing answer could not
// show them, and a reader can follow "[1]: https://…" unaided.
package render
