package api

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// encode writes a value as JSON without \u escapes, which WeChat refuses in some calls (errcode 40033) and shows as they are in others.
// Characters that JSON cannot hold without one, all of them control characters, are left out.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("api: " + err.Error()) // only structs of strings and numbers of this package come here
	}
	return unescape(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

// unescape replaces, in place, the \u escapes in JSON that encoding/json wrote.
func unescape(b []byte) []byte {
	if !bytes.Contains(b, []byte(`\u`)) {
		return b
	}
	out := b[:0]
	for i := 0; i < len(b); {
		if b[i] != '\\' {
			out = append(out, b[i])
			i++
			continue
		}
		if b[i+1] != 'u' {
			out = append(out, b[i], b[i+1])
			i += 2
			continue
		}
		// Never half of a surrogate pair: encoding/json writes characters beyond U+FFFF as they are.
		r, err := strconv.ParseUint(string(b[i+2:i+6]), 16, 16)
		if err != nil {
			panic("api: " + err.Error()) // encoding/json wrote it
		}
		if r >= ' ' && r != 0x7f {
			out = utf8.AppendRune(out, rune(r))
		}
		i += 6
	}
	return out
}
