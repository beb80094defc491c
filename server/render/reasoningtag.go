package render

import "strings"

// What opens or ends something that Visible leaves out. Longer names first.
var reasoningTags = []string{"<thinking", "<think", "</thinking", "</think", "<details", "<!--"}

// reasoningTag returns which of reasoningTags s starts with, "" for none.
func reasoningTag(s string) string {
	for _, name := range reasoningTags {
		if !hasPrefixFold(s, name) {
			continue
		}
		if name == "<!--" || len(s) == len(name) {
			return name
		}
		if c := s[len(name)]; c == '>' || c == '/' || isSpace(c) {
			return name
		}
	}
	return ""
}

// couldBeTag reports whether s is the beginning of one of reasoningTags.
func couldBeTag(s string) bool {
	for _, name := range reasoningTags {
		if len(s) <= len(name) && hasPrefixFold(name, s) {
			return true
		}
	}
	return false
}

// tagEnd returns the length of the tag that s starts with, 0 if it does not end soon.
func tagEnd(s string) int {
	n := strings.IndexByte(s[:min(len(s), maxReasoningTag)], '>')
	return n + 1
}

type verdict int

const (
	no verdict = iota
	yes
	undecided // the text ends too early to tell
)

// What the summary of a details element begins with when it holds reasoning.
var thinkingWords = []string{"thinking", "thought", "reasoning", "思考", "深度思考", "已深度思考", "推理"}

// thinkingDetails reports whether s, which starts with "<details", holds reasoning, and the length of
// what comes before the summary's words.
func thinkingDetails(s string) (n int, v verdict) {
	rest := s
	for _, name := range []string{"<details", "<summary"} {
		if len(rest) < len(name) && hasPrefixFold(name, rest) {
			return 0, undecided
		}
		if !hasPrefixFold(rest, name) {
			return 0, no
		}
		end := tagEnd(rest)
		if end == 0 {
			if len(rest) < maxReasoningTag {
				return 0, undecided
			}
			return 0, no
		}
		rest = strings.TrimLeft(rest[end:], " \t\n")
	}
	rest = strings.TrimLeft(rest, "*💭🤔🧠 ")
	for _, word := range thinkingWords {
		if hasPrefixFold(rest, word) {
			return len(s) - len(rest), yes
		}
		if len(rest) < len(word) && hasPrefixFold(word, rest) {
			v = undecided
		}
	}
	return 0, v
}

// hasPrefixFold is strings.HasPrefix with ASCII letters compared in any case.
func hasPrefixFold(s, prefix string) bool {
	if len(s) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		if lower(s[i]) != lower(prefix[i]) {
			return false
		}
	}
	return true
}

// indexFold is strings.Index for a tag, with ASCII letters compared in any case.
func indexFold(s, tag string) int {
	for at := 0; ; at++ {
		n := strings.IndexByte(s[at:], '<')
		if n < 0 {
			return -1
		}
		at += n
		if hasPrefixFold(s[at:], tag) {
			return at
		}
	}
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' }
