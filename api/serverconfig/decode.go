package serverconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// decode reads the one document of a file into c, which holds the defaults. Names keep their case, and a field that is
// null is left out. unknown are the paths of fields that c does not have.
func decode(c *Config, file []byte) (unknown []string, err error) {
	if len(file) > MaxFileBytes {
		return nil, wrong("", "the file is larger than %d bytes", MaxFileBytes)
	}
	if hasSecondDocument(file) {
		return nil, wrong("", "the file holds more than one YAML document: keep one")
	}
	text, err := yaml.YAMLToJSONStrict(file)
	if err != nil {
		return nil, wrong("", "not valid YAML: %s", oneLine(err))
	}
	strict, err := kjson.UnmarshalStrict(text, c, kjson.DisallowUnknownFields)
	if err != nil {
		return nil, wrongType(err)
	}
	for _, one := range strict {
		field, ok := errors.AsType[kjson.FieldError](one)
		if !ok {
			return nil, wrong("", "not valid YAML: %s", oneLine(one))
		}
		unknown = append(unknown, shorten(field.FieldPath()))
	}
	return unknown, noEmptyValues(text)
}

// noEmptyValues refuses names without a value where people choose the names: a line that is not finished, most likely.
func noEmptyValues(text []byte) error {
	var file struct {
		WeChat struct {
			VerificationFiles map[string]*string
		}
		Dify  struct{ Inputs map[string]*string }
		Reply struct{ Texts map[string]*string }
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return wrong("", "not valid YAML: %s", oneLine(err))
	}
	for i, mapping := range []map[string]*string{file.WeChat.VerificationFiles, file.Dify.Inputs, file.Reply.Texts} {
		for _, name := range slices.Sorted(maps.Keys(mapping)) {
			if mapping[name] == nil {
				return wrong(child(freeform[i], name), "is empty, must be a text")
			}
		}
	}
	return nil
}

// wrongType says what a value of another type should be.
func wrongType(err error) error {
	e, ok := errors.AsType[*json.UnmarshalTypeError](err)
	if !ok {
		return wrong("", "not valid YAML: %s", oneLine(err))
	}
	if e.Field == "" {
		return wrong("", "the file is %s, it must be a mapping of fields", inWords(e.Value))
	}
	must, hint := "a mapping of fields", ""
	switch e.Type.Kind() {
	case reflect.String:
		if must = "a text"; e.Value == "bool" || strings.HasPrefix(e.Value, "number") {
			hint = ": put it in quotes"
		}
	case reflect.Bool:
		must = "true or false"
	case reflect.Int:
		must = "a whole number of at most nine digits"
	case reflect.Int64: // a Duration
		must = "a duration: a number and its unit, such as 4500ms, 60s or 5m"
	case reflect.Slice:
		if must = "a list of texts"; e.Type.Elem().Kind() == reflect.Struct {
			must = "a list"
		}
	case reflect.Map:
		must = "a mapping of texts"
	default:
	}
	return wrong(e.Field, "is %s, must be %s%s", inWords(e.Value), must, hint)
}

// inWords says what a value is, in the words of the file.
func inWords(kind string) string {
	switch kind {
	case "bool":
		return "true or false"
	case "string":
		return "a text"
	case "array":
		return "a list"
	case "object":
		return "a mapping"
	case "number":
		return "a number"
	}
	return strings.TrimPrefix(kind, "number ")
}

// hasSecondDocument looks for content after a document's end, which the YAML library would not read without a word.
func hasSecondDocument(file []byte) bool {
	content, ended := false, false
	for line := range bytes.Lines(file) {
		line = bytes.TrimRight(line, " \t\r\n")
		marker := bytes.Equal(line, []byte("---")) || bytes.HasPrefix(line, []byte("--- ")) || bytes.Equal(line, []byte("..."))
		trimmed := bytes.TrimLeft(line, " \t")
		switch {
		case marker:
			ended = content
			content = content || len(line) > len("---")
		case len(trimmed) == 0 || trimmed[0] == '#' || line[0] == '%':
		case ended:
			return true
		default:
			content = true
		}
	}
	return false
}

// oneLine keeps what the libraries say of a file, in one line and without the names of their packages.
func oneLine(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	for _, prefix := range []string{"error converting YAML to JSON: ", "yaml: ", "unmarshal errors: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return text
}

// child is the path of a field of the mapping at path.
func child(path, name string) string {
	switch {
	case !plainKey.matches(name):
		return path + "[" + strconv.Quote(shorten(name)) + "]"
	case path == "":
		return name
	default:
		return path + "." + name
	}
}

// shorten keeps a hostile name from flooding the message about it.
func shorten(name string) string {
	const limit = 64
	if runes := []rune(name); len(runes) > limit {
		return string(runes[:limit]) + "…"
	}
	return name
}
