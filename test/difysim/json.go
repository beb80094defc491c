package difysim

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// object is a JSON object whose members keep their order, which encoding/json cannot promise for a map and which
// the recordings show to be fixed.
type object []member

type member struct {
	name  string
	value any
}

// list is a JSON array.
type list []any

// jsonStyle is one of the two ways in which Dify's releases write JSON.
type jsonStyle struct {
	ascii        bool // \uXXXX for everything outside ASCII, with surrogate pairs
	comma, colon string
}

var (
	// spaced is Python's json.dumps: streams up to 1.8.0, and every body that is not a stream.
	spaced = &jsonStyle{ascii: true, comma: ", ", colon: ": "}
	// compact is orjson: streams since 1.8.1.
	compact = &jsonStyle{comma: ",", colon: ":"}
)

func (s *jsonStyle) append(dst []byte, value any) []byte {
	switch v := value.(type) {
	case nil:
		return append(dst, "null"...)
	case bool:
		return strconv.AppendBool(dst, v)
	case int:
		return strconv.AppendInt(dst, int64(v), 10)
	case int64:
		return strconv.AppendInt(dst, v, 10)
	case float64:
		return appendFloat(dst, v)
	case json.Number:
		return append(dst, v...)
	case string:
		return s.appendString(dst, v)
	case object:
		return append(s.open(dst, v), '}')
	case list:
		return s.appendList(dst, v)
	case []any:
		return s.appendList(dst, v)
	case []string:
		return s.appendStrings(dst, v)
	case map[string]any:
		return s.append(dst, sorted(v))
	}
	panic("difysim: no JSON form for a value of this type") // a mistake in this package: all values are built here
}

// open writes the object without its closing brace, so that a caller can add a last member many times over.
func (s *jsonStyle) open(dst []byte, o object) []byte {
	dst = append(dst, '{')
	for i, m := range o {
		if i > 0 {
			dst = append(dst, s.comma...)
		}
		dst = s.appendString(dst, m.name)
		dst = append(dst, s.colon...)
		dst = s.append(dst, m.value)
	}
	return dst
}

func (s *jsonStyle) appendList(dst []byte, values []any) []byte {
	dst = append(dst, '[')
	for i, v := range values {
		if i > 0 {
			dst = append(dst, s.comma...)
		}
		dst = s.append(dst, v)
	}
	return append(dst, ']')
}

func (s *jsonStyle) appendStrings(dst []byte, values []string) []byte {
	dst = append(dst, '[')
	for i, v := range values {
		if i > 0 {
			dst = append(dst, s.comma...)
		}
		dst = s.appendString(dst, v)
	}
	return append(dst, ']')
}

func sorted(m map[string]any) object {
	o := make(object, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		o = append(o, member{name, m[name]})
	}
	return o
}

// appendFloat writes a float as Python does: never without a fraction, and with words that are no JSON.
func appendFloat(dst []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, "NaN"...)
	case math.IsInf(f, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(f, -1):
		return append(dst, "-Infinity"...)
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, f, 'f', -1, 64)
	if !slices.Contains(dst[start:], '.') {
		dst = append(dst, ".0"...)
	}
	return dst
}

const hexDigits = "0123456789abcdef"

func (s *jsonStyle) appendString(dst []byte, text string) []byte {
	dst = append(dst, '"')
	for _, r := range text { // a broken byte ranges as U+FFFD
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < ' ':
			dst = appendControl(dst, r)
		case r < 0x7f || !s.ascii:
			dst = utf8.AppendRune(dst, r)
		case r > 0xffff:
			r -= 0x10000
			dst = appendEscape(dst, 0xd800|r>>10)
			dst = appendEscape(dst, 0xdc00|r&0x3ff)
		default:
			dst = appendEscape(dst, r)
		}
	}
	return append(dst, '"')
}

func appendControl(dst []byte, r rune) []byte {
	switch r {
	case '\b':
		return append(dst, '\\', 'b')
	case '\t':
		return append(dst, '\\', 't')
	case '\n':
		return append(dst, '\\', 'n')
	case '\f':
		return append(dst, '\\', 'f')
	case '\r':
		return append(dst, '\\', 'r')
	}
	return appendEscape(dst, r)
}

func appendEscape(dst []byte, r rune) []byte {
	return append(dst, '\\', 'u', hexDigits[r>>12&0xf], hexDigits[r>>8&0xf], hexDigits[r>>4&0xf], hexDigits[r&0xf])
}
