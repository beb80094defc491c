package serverconfig

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
)

// boundAtStart are the fields (with all below them) that a running server cannot take from a changed file: addresses
// it listens on, names under which things are already stored, and the store itself. Everything else is applied in place.
var boundAtStart = []string{"bot", "listen", "adminListen", "path", "secretsDir", "session"}

// Diff names the fields in which c differs from old, in the file's order.
func (c *Config) Diff(old *Config) []string {
	return diff(reflect.ValueOf(c).Elem(), reflect.ValueOf(old).Elem(), "")
}

// RestartNeeded names those of Diff's fields that take effect at the next start only.
func (c *Config) RestartNeeded(old *Config) []string {
	return slices.DeleteFunc(c.Diff(old), func(field string) bool {
		root, _, _ := strings.Cut(field, ".")
		return !slices.Contains(boundAtStart, root)
	})
}

// StartHash is the same for two configurations if and only if a server can go from one to the other without a restart:
// the operator puts it on the pods. A field at its default does not count, so a field that a later version adds leaves
// the hash of existing bots as it was.
func (c *Config) StartHash() string {
	h := sha256.New()
	defaults := Default()
	for _, field := range c.RestartNeeded(&defaults) {
		value, err := json.Marshal(valueAt(reflect.ValueOf(c).Elem(), field).Interface())
		if err != nil {
			panic("serverconfig: " + field + ": " + err.Error()) // texts, numbers and lists of them always encode
		}
		h.Write([]byte(field + "=" + string(value) + "\n"))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func diff(a, b reflect.Value, path string) []string {
	switch a.Kind() {
	case reflect.Struct:
	case reflect.Map, reflect.Slice:
		if a.Len()+b.Len() == 0 || reflect.DeepEqual(a.Interface(), b.Interface()) {
			return nil
		}
		return []string{path}
	default:
		if a.Equal(b) {
			return nil
		}
		return []string{path}
	}
	var fields []string
	for i, name := range fieldNames(a.Type()) {
		fields = append(fields, diff(a.Field(i), b.Field(i), child(path, name))...)
	}
	return fields
}

func valueAt(v reflect.Value, path string) reflect.Value {
	for name := range strings.SplitSeq(path, ".") {
		v = v.Field(slices.Index(fieldNames(v.Type()), name))
	}
	return v
}
