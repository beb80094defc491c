package serverconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

// MaxFileBytes bounds the file; a ConfigMap cannot hold more.
const MaxFileBytes = 1 << 20

// Error says which field is wrong, how, and what to do about it. There is always one: the first in the file's order.
type Error struct {
	// Field is the path of the field, as in session.redis.addresses[1]; empty if the file as a whole is wrong.
	Field string
	// Problem is a sentence without a full stop.
	Problem string
}

func (e *Error) Error() string {
	if e.Field == "" {
		return e.Problem
	}
	return e.Field + ": " + e.Problem
}

func wrong(field, format string, args ...any) error {
	return &Error{Field: field, Problem: fmt.Sprintf(format, args...)}
}

// Parse reads a configuration file. Unknown and repeated fields, wrong types, missing required fields and values out of
// range are refused with an *Error; null is the same as leaving a field out.
func Parse(file []byte) (Config, error) {
	c := Default()
	tree, err := readYAML(file)
	if err != nil {
		return Config{}, err
	}
	if err := decodeInto(&c, tree); err != nil {
		return Config{}, err
	}
	c.complete()
	if err := c.Check(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// Load reads and parses the file at path. A relative secretsDir becomes one below the file's folder, so that a server
// finds its secrets wherever it was started from.
func Load(path string) (Config, error) {
	file, err := readFile(path, MaxFileBytes)
	if err != nil {
		return Config{}, fmt.Errorf("read configuration: %w", err)
	}
	c, err := Parse(file)
	if err != nil {
		return Config{}, fmt.Errorf("configuration %s: %w", path, err)
	}
	if !filepath.IsAbs(c.SecretsDir) {
		c.SecretsDir = filepath.Join(filepath.Dir(path), c.SecretsDir)
	}
	return c, nil
}

// readYAML turns the one document of a file into maps, slices and scalars.
func readYAML(file []byte) (map[string]any, error) {
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
	numbers := json.NewDecoder(bytes.NewReader(text))
	numbers.UseNumber()
	var tree any
	if err := numbers.Decode(&tree); err != nil {
		return nil, wrong("", "not valid YAML: %s", oneLine(err))
	}
	switch root := tree.(type) {
	case nil:
		return nil, nil
	case map[string]any:
		return root, nil
	default:
		return nil, wrong("", "the file is %s, it must be a mapping of fields", kindOf(tree))
	}
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

// oneLine keeps what the YAML library says of a file, in one line and without the names of its packages.
func oneLine(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	for _, prefix := range []string{"error converting YAML to JSON: ", "yaml: ", "unmarshal errors: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return text
}

// readFile reads a regular file of at most limit bytes.
func readFile(path string, limit int64) (_ []byte, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err // a PathError names the file and what was done with it
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if int64(len(content)) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return content, nil
}
