package serverconfig

import (
	"bytes"
	"encoding/json"
	"iter"
	"slices"
	"strings"
	"sync"
)

// leaf is a field with nothing below it, in the file's order. A list, and a mapping whose names people choose, are one.
type leaf struct {
	field string // such as dify.baseURL
	value string // as JSON, which YAML is too: no text is then taken for a number, a date, yes or no
}

// text is a leaf's text, if it is one.
func (l *leaf) text() (text string, ok bool) {
	if l.value[0] != '"' {
		return "", false
	}
	if !strings.Contains(l.value, `\`) { // nothing is escaped
		return l.value[1 : len(l.value)-1], true
	}
	err := json.Unmarshal([]byte(l.value), &text)
	return text, err == nil
}

// freeform are the mappings whose names people choose.
var freeform = []string{"wechat.verificationFiles", "dify.inputs", "reply.texts"}

// leaves are all fields that say something of a Config, or of a part of one with the same names. One that is zero and has no
// other default is the same as none.
func leaves(config any) []leaf {
	all := make([]leaf, 0, usualLeaves)
	var add func(object, path string)
	add = func(object, path string) {
		for name, value := range members(object) {
			field := path + name
			if value[0] == '{' && !slices.Contains(freeform, field) {
				add(value, field+".")
			} else {
				all = append(all, leaf{field, value})
			}
		}
	}
	add(encode(config), "")
	return all
}

// usualLeaves is more than most Configs have.
const usualLeaves = 64

// encode writes a Config, or a part of one, as JSON.
func encode(config any) string {
	var encoded strings.Builder
	e := json.NewEncoder(&encoded)
	e.SetEscapeHTML(false)
	if err := e.Encode(config); err != nil {
		panic("serverconfig: " + err.Error()) // texts, numbers and lists of them always encode
	}
	return encoded.String()
}

// members goes through an object as json.Encoder writes structs: without blanks, and with names that need no escapes. A decoder
// would read each level anew, which took half of the time of a look at a bot.
func members(object string) iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for at := 1; at < len(object) && object[at] != '}'; {
			colon := at + strings.IndexByte(object[at:], ':')
			end := colon + 1 + valueLen(object[colon+1:])
			if !yield(object[at+1:colon-1], object[colon+1:end]) {
				return
			}
			if at = end; object[at] == ',' {
				at++
			}
		}
	}
}

// valueLen is how long the value is that an encoded text begins with.
func valueLen(encoded string) int {
	depth, quoted := 0, false
	for i := 0; i < len(encoded); i++ {
		switch c := encoded[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case depth == 0 && (c == ',' || c == '}'):
			return i
		case c == '}' || c == ']':
			depth--
		}
	}
	return len(encoded)
}

// values are the leaves by field.
func values(leaves []leaf) map[string]string {
	all := make(map[string]string, len(leaves))
	for _, l := range leaves {
		all[l.field] = l.value
	}
	return all
}

// defaultValues are those of Default. They are not to be changed.
var defaultValues = sync.OnceValue(func() map[string]string {
	defaults := Default()
	return values(leaves(&defaults))
})

// zero values of fields that Default leaves out, as the whole section is.
var zero = []string{"", "false", "0", `""`, "null", "[]", "{}"}

// differ tells whether two values of a field, as JSON or empty for none, say different things.
func differ(a, b string) bool {
	return a != b && (a != "" && b != "" || !slices.Contains(zero, a+b))
}

// Marshal writes c as Parse reads it, fields in the documented order. What is as Default has it is left out: a server of
// an earlier release does not know the fields that came since, and has no need to while nobody uses them. (So a release
// that changes a default has to write it always.) Equal configurations give equal bytes, in every release: the operator
// compares them to tell whether there is anything to write. (The YAML library promises no order of keys.)
func Marshal(c Config) []byte {
	usual := defaultValues()
	var b bytes.Buffer
	var open []string // the sections that the last line is in
	for _, l := range leaves(&c) {
		if !differ(l.value, usual[l.field]) {
			continue
		}
		path := strings.Split(l.field, ".")
		sections, name := path[:len(path)-1], path[len(path)-1]
		for i, section := range sections {
			if i >= len(open) || open[i] != section {
				open = append(open[:i:i], section)
				b.WriteString(strings.Repeat("  ", i) + section + ":\n")
			}
		}
		open = open[:len(sections)]
		b.WriteString(strings.Repeat("  ", len(sections)) + name + ": " + l.value + "\n")
	}
	return b.Bytes()
}
