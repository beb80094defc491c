package difysim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// validation collects complaints and words them as pydantic 2.10 does: they echo the input, which is why no
// client may show them to an end user.
type validation struct {
	model string
	lines strings.Builder
	count int
}

// require complains if the body lacks the field, or if its value has the wrong type.
func (v *validation) require(raw []byte, body map[string]any, field, kind, message string, valid func(any) bool) {
	value, present := body[field]
	switch {
	case !present:
		v.write(field, "Field required", "missing", shorten(reprJSON(raw)), "dict")
	case !valid(value):
		v.add(field, message, kind, value)
	}
}

func (v *validation) requireDictionary(raw []byte, body map[string]any, field string) {
	v.require(raw, body, field, "dict_type", "Input should be a valid dictionary", func(value any) bool {
		_, ok := value.(map[string]any)
		return ok
	})
}

func (v *validation) requireText(raw []byte, body map[string]any, field string) {
	v.require(raw, body, field, "string_type", "Input should be a valid string", func(value any) bool {
		_, ok := value.(string)
		return ok
	})
}

func (v *validation) add(field, message, kind string, value any) {
	v.write(field, message, kind, shorten(repr(value)), pythonType(value))
}

func (v *validation) write(field, message, kind, input, inputType string) {
	v.count++
	fmt.Fprintf(&v.lines, "\n%s\n  %s [type=%s, input_value=%s, input_type=%s]"+
		"\n    For further information visit https://errors.pydantic.dev/2.10/v/%s",
		field, message, kind, input, inputType, kind)
}

// refusal gives the complaints as a response, or nil if there are none.
func (v *validation) refusal() *response {
	if v.count == 0 {
		return nil
	}
	plural := ""
	if v.count > 1 {
		plural = "s"
	}
	return problem(400, "invalid_param", fmt.Sprintf("%d validation error%s for %s%s", v.count, plural, v.model, &v.lines))
}

// shorten leaves at most 50 characters of an echoed input, as pydantic does, out of its middle.
func shorten(text string) string {
	runes := []rune(text)
	if len(runes) <= 50 {
		return text
	}
	return string(runes[:25]) + "..." + string(runes[len(runes)-24:])
}

// repr gives Python's notation of a decoded JSON value.
func repr(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return "None" // cannot be: the value was read from JSON
	}
	return reprJSON(text)
}

// reprJSON gives Python's notation of valid JSON, members in their order.
func reprJSON(raw []byte) string {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var b strings.Builder
	writeRepr(&b, decoder)
	return b.String()
}

func writeRepr(b *strings.Builder, decoder *json.Decoder) {
	token, err := decoder.Token()
	if err != nil {
		return // a partial notation is enough for an error message
	}
	switch t := token.(type) {
	case json.Delim:
		b.WriteRune(rune(t))
		for i := 0; decoder.More(); i++ {
			if i > 0 {
				b.WriteString(", ")
			}
			if t == '{' {
				writeRepr(b, decoder)
				b.WriteString(": ")
			}
			writeRepr(b, decoder)
		}
		if t == '{' {
			b.WriteByte('}')
		} else {
			b.WriteByte(']')
		}
		_, _ = decoder.Token() // the closing delimiter
	case string:
		b.WriteString("'" + strings.ReplaceAll(strings.ReplaceAll(t, `\`, `\\`), "'", `\'`) + "'")
	case bool:
		b.WriteString(map[bool]string{true: "True", false: "False"}[t])
	case json.Number:
		b.WriteString(t.String())
	default:
		b.WriteString("None")
	}
}

func pythonType(value any) string {
	switch v := value.(type) {
	case map[string]any:
		return "dict"
	case []any:
		return "list"
	case string:
		return "str"
	case bool:
		return "bool"
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			return "float"
		}
		return "int"
	}
	return "NoneType"
}
