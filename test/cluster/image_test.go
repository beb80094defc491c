package cluster

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestImageIsAnArchiveThatRuntimesRead(t *testing.T) {
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("#!"), 0o600); err != nil {
		t.Fatal(err)
	}
	i := image{
		name: "localhost/test:local", entrypoint: []string{"/usr/bin/program"}, user: "1:2", workingDir: "/data",
		files: map[string]string{"/usr/bin/program": program},
		links: map[string]string{"/bin/sh": "program"},
		text:  map[string]string{"/etc/passwd": "root"},
		dirs:  []string{"/data"},
	}
	var archive, again bytes.Buffer
	if err := errors.Join(i.write(&archive), i.write(&again)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(archive.Bytes(), again.Bytes()) {
		t.Error("the same files make another archive")
	}

	files := entriesOf(t, &archive)
	var manifest []struct {
		Config           string
		RepoTags, Layers []string
	}
	if err := json.Unmarshal(files["manifest.json"].data, &manifest); err != nil || len(manifest) != 1 {
		t.Fatalf("manifest: %v, %d entries", err, len(manifest))
	}
	if diff := cmp.Diff([]string{"localhost/test:local"}, manifest[0].RepoTags); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
	layer := files[manifest[0].Layers[0]].data
	var config struct {
		Config struct {
			User, WorkingDir string
			Entrypoint       []string
		}
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	if err := json.Unmarshal(files[manifest[0].Config].data, &config); err != nil {
		t.Fatal(err)
	}
	if config.Config.User != "1:2" || config.Config.WorkingDir != "/data" || config.Config.Entrypoint[0] != "/usr/bin/program" {
		t.Errorf("config: %+v", config.Config)
	}
	if got, want := config.RootFS.DiffIDs[0], fmt.Sprintf("sha256:%x", sha256.Sum256(layer)); got != want {
		t.Errorf("diff ID %s, but the layer's digest is %s", got, want)
	}

	got := map[string]string{}
	for name, e := range entriesOf(t, bytes.NewReader(layer)) {
		got[name] = fmt.Sprintf("%o %s%s", e.mode, e.data, e.link)
	}
	want := map[string]string{
		"usr/": "755 ", "usr/bin/": "755 ", "usr/bin/program": "755 #!",
		"bin/": "755 ", "bin/sh": "777 program",
		"etc/": "755 ", "etc/passwd": "644 root",
		"data/": "1777 ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files of the layer (-want +got):\n%s", diff)
	}
}

func TestImageOfMissingFileIsRefused(t *testing.T) {
	i := image{name: "localhost/test:local", files: map[string]string{"/program": filepath.Join(t.TempDir(), "none")}}
	if err := i.write(io.Discard); err == nil || !strings.Contains(err.Error(), "localhost/test:local") {
		t.Errorf("error %v: want one that names the image", err)
	}
}

type entry struct {
	mode int64
	data []byte
	link string
}

func entriesOf(t *testing.T, archive io.Reader) map[string]entry {
	t.Helper()
	entries := map[string]entry{}
	reader := tar.NewReader(archive)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return entries
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		entries[header.Name] = entry{header.Mode, data, header.Linkname}
	}
}
