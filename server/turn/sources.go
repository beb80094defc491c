package turn

import "strings"

// maxSources is how many documents an answer names.
const maxSources = 3

const betweenSources = " · "

// withSources is an answer's Markdown with the names of the documents that it rests on below it.
func (s *Settings) withSources(markdown string, documents []string) string {
	if !s.Sources || len(documents) == 0 || strings.TrimSpace(markdown) == "" {
		return markdown
	}
	names := make([]string, 0, maxSources)
	for _, d := range documents[:min(len(documents), maxSources)] {
		names = append(names, asMarkdown(d))
	}
	return markdown + betweenBlocks + s.Texts.get(TextSources) + strings.Join(names, betweenSources)
}

// asMarkdown is a name as Markdown that shows it.
func asMarkdown(name string) string {
	var b strings.Builder
	for _, r := range strings.Join(strings.Fields(name), " ") {
		switch {
		case r == '[': // \[ begins a formula
			r = '［'
		case r == ']':
			r = '］'
		case r < 0x80 && strings.ContainsRune("\\`*_{}<>#|~$!", r):
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}
