package serverconfig

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
	unknown, err := decode(&c, file)
	if err == nil && len(unknown) > 0 {
		err = wrong(unknown[0], "unknown field: correct its name, or remove it")
	}
	if err != nil {
		return Config{}, err
	}
	return c.checked()
}

// ParseByOperator reads a file that an operator wrote, which may be newer than this server. Fields and texts that are
// not known are left out, and named by their paths.
func ParseByOperator(file []byte) (c Config, unknown []string, err error) {
	c = Default()
	if unknown, err = decode(&c, file); err != nil {
		return Config{}, nil, err
	}
	for _, key := range slices.Sorted(maps.Keys(c.Reply.Texts)) {
		if !slices.Contains(TextKeys, key) {
			delete(c.Reply.Texts, key)
			unknown = append(unknown, child("reply.texts", key))
		}
	}
	if slices.ContainsFunc(unknown, func(field string) bool { return strings.HasPrefix(field, "menu[") }) {
		c.Menu = withoutIdle(c.Menu)
	}
	if slices.ContainsFunc(unknown, func(field string) bool { return strings.HasPrefix(field, "keywords[") }) {
		c.Keywords = withoutIdleKeywords(c.Keywords)
	}
	c, err = c.checked()
	return c, unknown, err
}

func (c *Config) checked() (Config, error) {
	for _, texts := range []*map[string]string{&c.WeChat.VerificationFiles, &c.Dify.Inputs, &c.Reply.Texts} {
		if len(*texts) == 0 {
			*texts = nil // an empty mapping and none are one configuration
		}
	}
	if len(c.Menu) == 0 {
		c.Menu = nil
	}
	if len(c.Handover.Words) == 0 {
		c.Handover.Words = nil
	}
	if len(c.Keywords) == 0 {
		c.Keywords = nil
	}
	c.complete()
	if err := c.Check(); err != nil {
		return Config{}, err
	}
	return *c, nil
}

// File is a configuration file that was read.
type File struct {
	Config  Config
	Unknown []string // paths of fields and texts that a newer operator has written
	Hash    string   // Hash of its bytes
}

// Load reads the file at path with Parse. A relative secretsDir becomes one below the file's folder, so that a server
// finds its secrets wherever it was started from.
func Load(path string) (File, error) {
	return load(path, func(file []byte) (Config, []string, error) {
		c, err := Parse(file)
		return c, nil, err
	})
}

// LoadByOperator is Load with ParseByOperator.
func LoadByOperator(path string) (File, error) { return load(path, ParseByOperator) }

// Hash names the bytes of a file, for comparing what was written with what a server has read. The file holds no secrets.
func Hash(file []byte) string {
	sum := sha256.Sum256(file)
	return hex.EncodeToString(sum[:16])
}

// Unchanged tells whether the file at path is still the one that Hash names so: reading it is cheap, parsing it is not.
func Unchanged(path, hash string) bool {
	file, err := readFile(path, MaxFileBytes)
	return err == nil && Hash(file) == hash
}

func load(path string, parse func([]byte) (Config, []string, error)) (File, error) {
	file, err := readFile(path, MaxFileBytes)
	if err != nil {
		return File{}, fmt.Errorf("read configuration: %w", err)
	}
	c, unknown, err := parse(file)
	if err != nil {
		return File{}, fmt.Errorf("configuration %s: %w", path, err)
	}
	if !filepath.IsAbs(c.SecretsDir) {
		c.SecretsDir = filepath.Join(filepath.Dir(path), c.SecretsDir)
	}
	return File{Config: c, Unknown: unknown, Hash: Hash(file)}, nil
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
