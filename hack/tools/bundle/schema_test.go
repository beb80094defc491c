package main

import (
	"encoding/json"
	"slices"
	"testing"
)

func TestMissing(t *testing.T) {
	for name, c := range map[string]struct {
		before, after string
		want          []string
	}{
		"nothing":         {`{"a": {"b": [1, "x"]}}`, `{"a": {"b": [1, "x"]}}`, nil},
		"fields":          {`{"b": 1, "a": {"c": 1, "d": 2}}`, `{"a": {"d": 2}}`, []string{".a.c", ".b"}},
		"within a list":   {`{"a": [{"b": 1}, {"b": 2, "c": 3}]}`, `{"a": [{"b": 1}, {"b": 2}]}`, []string{".a[1].c"}},
		"half a list":     {`{"a": [1, 2]}`, `{"a": [1]}`, []string{".a"}},
		"another value":   {`{"a": 1}`, `{"a": 2}`, []string{".a"}},
		"all of a branch": {`{"a": {"b": {"c": 1}}}`, `{"a": {}}`, []string{".a.b"}},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after any
			for into, text := range map[*any]string{&before: c.before, &after: c.after} {
				if err := json.Unmarshal([]byte(text), into); err != nil {
					t.Fatal(err)
				}
			}
			if got := missing("", before, after); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestOLMSchema_UnknownVersion(t *testing.T) {
	if _, err := olmSchema("v1"); err == nil {
		t.Error("there is a version v1")
	}
}
