package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestABillOfAnImageIsThatOfItsBinaries(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"server": program, "etc/passwd": []byte("root:x:0:0:root:/root:/bin/sh\n")}
	wantProduct, want, err := linked([]string{self})
	if err != nil {
		t.Fatal(err)
	}
	product, got, err := linked([]string{imageOf(t, runtime.GOARCH, files)})
	if err != nil {
		t.Fatal(err)
	}
	if product != wantProduct || !slices.EqualFunc(got, want, func(a, b component) bool { return a.path == b.path && a.version == b.version }) {
		t.Errorf("the image of %s is linked from %v, want %s, %v", product, got, wantProduct, want)
	}
}

func TestImagesThatAreRefused(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	truncated := filepath.Join(t.TempDir(), "truncated.oci.tar")
	if err := os.WriteFile(truncated, bytes.Repeat([]byte("x"), 700), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ path, want string }{
		"of another platform": {imageOf(t, "riscv64", map[string][]byte{"manager": program}), "/manager is for linux/" + runtime.GOARCH + ", the image for linux/riscv64"},
		"not Go's":            {imageOf(t, runtime.GOARCH, map[string][]byte{"bin/sh": []byte("\x7fELF and so on")}), "reading /bin/sh"},
		"without a binary":    {imageOf(t, runtime.GOARCH, map[string][]byte{"etc/motd": []byte("hello")}), "the image has no binary"},
		"no archive":          {truncated, "reading the archive"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := linked([]string{c.path}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("err = %v, want %q", err, c.want)
			}
		})
	}
}

// imageOf writes an OCI archive of an image with one layer.
func imageOf(t *testing.T, architecture string, files map[string][]byte) string {
	t.Helper()
	archived := map[string][]byte{}
	blob := func(content []byte, mediaType string) descriptor {
		d := descriptor{MediaType: mediaType, Digest: fmt.Sprintf("sha256:%x", sha256.Sum256(content))}
		archived[d.blob()] = content
		return d
	}
	var layer bytes.Buffer
	zipper := gzip.NewWriter(&layer)
	if _, err := zipper.Write(tarOf(t, files)); err != nil {
		t.Fatal(err)
	}
	if err := zipper.Close(); err != nil {
		t.Fatal(err)
	}
	manifest := blob(encoded(t, imageManifest{
		Config: blob(encoded(t, imageConfig{architecture, "linux"}), ""),
		Layers: []descriptor{blob(layer.Bytes(), gzippedLayer)},
	}), "")
	archived["index.json"] = encoded(t, imageIndex{Manifests: []descriptor{manifest}})
	path := filepath.Join(t.TempDir(), "image.oci.tar")
	if err := os.WriteFile(path, tarOf(t, archived), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func encoded(t *testing.T, v any) []byte {
	t.Helper()
	content, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func tarOf(t *testing.T, files map[string][]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for name, content := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
