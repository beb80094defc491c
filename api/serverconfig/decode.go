package serverconfig

import (
	"encoding/json"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// decodeInto sets the fields of c that tree mentions. encoding/json would do, but it folds the case of names and tells
// neither the path of an unknown field nor what a person should write instead.
func decodeInto(c *Config, tree map[string]any) error {
	return decodeStruct(reflect.ValueOf(c).Elem(), "", tree)
}

func decodeStruct(into reflect.Value, path string, tree map[string]any) error {
	names := fieldNames(into.Type())
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		if !slices.Contains(names, name) {
			return wrong(child(path, name), "unknown field; known here: %s", strings.Join(names, ", "))
		}
	}
	for i, name := range names {
		if value, ok := tree[name]; ok && value != nil {
			if err := decode(into.Field(i), child(path, name), value); err != nil {
				return err
			}
		}
	}
	return nil
}

func decode(into reflect.Value, path string, value any) error {
	if into.Type() == reflect.TypeFor[Duration]() {
		return decodeDuration(into, path, value)
	}
	switch into.Kind() {
	case reflect.Struct:
		tree, ok := value.(map[string]any)
		if !ok {
			return wrong(path, "is %s, must be a mapping of fields", kindOf(value))
		}
		return decodeStruct(into, path, tree)
	case reflect.Map:
		return decodeMap(into, path, value)
	case reflect.Slice:
		return decodeSlice(into, path, value)
	case reflect.Bool:
		b, ok := value.(bool)
		if !ok {
			return wrong(path, "is %s, must be true or false", kindOf(value))
		}
		into.SetBool(b)
	case reflect.Int:
		return decodeInt(into, path, value)
	case reflect.String:
		s, ok := value.(string)
		if !ok {
			return wrong(path, "is %s, must be a text%s", kindOf(value), quoteHint(value))
		}
		into.SetString(s)
	default:
		panic("serverconfig: no decoding for a field of type " + into.Type().String())
	}
	return nil
}

func decodeDuration(into reflect.Value, path string, value any) error {
	text, ok := value.(string)
	if !ok {
		return wrong(path, "is %s, must be a duration with its unit, such as 4500ms, 60s or 5m", kindOf(value))
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return wrong(path, "%q is not a duration: write a number and its unit, such as 4500ms, 60s or 5m", text)
	}
	into.SetInt(int64(d))
	return nil
}

func decodeInt(into reflect.Value, path string, value any) error {
	number, ok := value.(json.Number)
	if !ok {
		return wrong(path, "is %s, must be a whole number", kindOf(value))
	}
	n, err := strconv.ParseInt(number.String(), 10, 32)
	if err != nil {
		return wrong(path, "%s is not a whole number of at most nine digits", number)
	}
	into.SetInt(n)
	return nil
}

func decodeMap(into reflect.Value, path string, value any) error {
	tree, ok := value.(map[string]any)
	if !ok {
		return wrong(path, "is %s, must be a mapping of texts", kindOf(value))
	}
	texts := make(map[string]string, len(tree))
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		text, ok := tree[key].(string)
		if !ok {
			return wrong(child(path, key), "is %s, must be a text%s", kindOf(tree[key]), quoteHint(tree[key]))
		}
		texts[key] = text
	}
	if len(texts) == 0 {
		texts = nil // an empty map and none are one configuration
	}
	into.Set(reflect.ValueOf(texts))
	return nil
}

func decodeSlice(into reflect.Value, path string, value any) error {
	list, ok := value.([]any)
	if !ok {
		return wrong(path, "is %s, must be a list of texts", kindOf(value))
	}
	var texts []string
	for i, item := range list {
		text, ok := item.(string)
		if !ok {
			return wrong(path+"["+strconv.Itoa(i)+"]", "is %s, must be a text%s", kindOf(item), quoteHint(item))
		}
		texts = append(texts, text)
	}
	into.Set(reflect.ValueOf(texts))
	return nil
}

// fieldNames are the names that the fields of t have in the file, in order.
func fieldNames(t reflect.Type) []string {
	var names []string
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

// kindOf says what a decoded value is, in the words of the file.
func kindOf(value any) string {
	switch value.(type) {
	case nil:
		return "empty"
	case bool:
		return "true or false"
	case json.Number:
		return "a number"
	case string:
		return "a text"
	case []any:
		return "a list"
	default:
		return "a mapping"
	}
}

func quoteHint(value any) string {
	switch value.(type) {
	case bool, json.Number:
		return ": put it in quotes"
	default:
		return ""
	}
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// child is the path of a field of the mapping at path.
func child(path, name string) string {
	switch {
	case !plainKey.MatchString(name):
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
