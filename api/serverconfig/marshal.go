package serverconfig

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Marshal writes c as Parse reads it, fields in the documented order. Equal configurations give equal bytes, in every
// release: the operator compares them to tell whether there is anything to write. (The YAML library promises neither:
// the order it gives keys with digits in them changes from call to call.)
func Marshal(c Config) []byte {
	var b bytes.Buffer
	writeFields(&b, reflect.ValueOf(c), "")
	return b.Bytes()
}

func writeFields(b *bytes.Buffer, fields reflect.Value, indent string) {
	for i, name := range fieldNames(fields.Type()) {
		value := fields.Field(i)
		if _, options, _ := strings.Cut(fields.Type().Field(i).Tag.Get("json"), ","); options != "" && isEmpty(value) {
			continue
		}
		b.WriteString(indent + name + ":")
		writeValue(b, value, indent+"  ")
	}
}

func writeValue(b *bytes.Buffer, value reflect.Value, indent string) {
	if d, ok := reflect.TypeAssert[Duration](value); ok {
		b.WriteString(" " + d.String() + "\n")
		return
	}
	switch value.Kind() {
	case reflect.Struct:
		b.WriteByte('\n')
		writeFields(b, value, indent)
	case reflect.Map:
		b.WriteByte('\n')
		texts, _ := reflect.TypeAssert[map[string]string](value)
		for _, key := range slices.Sorted(maps.Keys(texts)) {
			b.WriteString(indent + quote(key) + ": " + quote(texts[key]) + "\n")
		}
	case reflect.Slice:
		b.WriteByte('\n')
		for i := range value.Len() {
			b.WriteString(indent + "- " + quote(value.Index(i).String()) + "\n")
		}
	case reflect.Bool:
		b.WriteString(" " + strconv.FormatBool(value.Bool()) + "\n")
	case reflect.Int:
		b.WriteString(" " + strconv.FormatInt(value.Int(), 10) + "\n")
	case reflect.String:
		b.WriteString(" " + quote(value.String()) + "\n")
	default:
		panic("serverconfig: no encoding for a field of type " + value.Type().String())
	}
}

func isEmpty(v reflect.Value) bool {
	if v.Kind() == reflect.Map || v.Kind() == reflect.Slice {
		return v.Len() == 0
	}
	return v.IsZero()
}

// quote writes a text as JSON does, which is YAML too: no text is then taken for a number, a date, yes or no.
func quote(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic("serverconfig: " + err.Error()) // a text always encodes
	}
	return strings.TrimSuffix(b.String(), "\n")
}
