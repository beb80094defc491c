package cluster

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"
)

// image is a container image of one layer, made of files of this machine.
type image struct {
	name       string            // with its tag
	files      map[string]string // path in the image to path on the machine; symbolic links are followed
	links      map[string]string // path in the image to what it points at
	text       map[string]string // path in the image to its contents
	dirs       []string          // empty folders that any user may write in
	entrypoint []string
	env        []string
	user       string // UID:GID
	workingDir string
}

// write writes the image as an archive that `ctr images import`, `docker load` and `podman load` read.
func (i image) write(w io.Writer) error {
	layer, err := i.layer()
	if err != nil {
		return fmt.Errorf("image %s: %w", i.name, err)
	}
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "created": time.Unix(0, 0).UTC(),
		"config": map[string]any{
			"Entrypoint": i.entrypoint, "Env": append([]string{"PATH=/usr/bin:/bin"}, i.env...), "User": i.user, "WorkingDir": i.workingDir,
		},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}},
	})
	if err != nil {
		return fmt.Errorf("image %s: encoding its configuration: %w", i.name, err)
	}
	configFile := fmt.Sprintf("%x.json", sha256.Sum256(config))
	manifest, err := json.Marshal([]map[string]any{{
		"Config": configFile, "RepoTags": []string{i.name}, "Layers": []string{"layer.tar"},
	}})
	if err != nil {
		return fmt.Errorf("image %s: encoding its manifest: %w", i.name, err)
	}
	archive := tar.NewWriter(w)
	for _, file := range []struct {
		name string
		data []byte
	}{{"layer.tar", layer}, {configFile, config}, {"manifest.json", manifest}} {
		if err := addFile(archive, file.name, 0o644, file.data); err != nil {
			return fmt.Errorf("image %s: %w", i.name, err)
		}
	}
	if err := archive.Close(); err != nil {
		return fmt.Errorf("image %s: writing the archive: %w", i.name, err)
	}
	return nil
}

// layer is the same for the same files: sorted, and without their times.
func (i image) layer() ([]byte, error) {
	entries := map[string]func(*tar.Writer, string) error{}
	for name, source := range i.files {
		entries[clean(name)] = func(w *tar.Writer, name string) error {
			data, err := os.ReadFile(source)
			if err != nil {
				return fmt.Errorf("reading a file of the image: %w", err)
			}
			return addFile(w, name, 0o755, data)
		}
	}
	for name, text := range i.text {
		entries[clean(name)] = func(w *tar.Writer, name string) error { return addFile(w, name, 0o644, []byte(text)) }
	}
	for name, target := range i.links {
		entries[clean(name)] = func(w *tar.Writer, name string) error {
			return w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777, ModTime: time.Unix(0, 0)})
		}
	}
	for _, name := range i.dirs {
		entries[clean(name)+"/"] = addDir(0o1777)
	}
	for _, name := range slices.Collect(maps.Keys(entries)) {
		for dir := path.Dir(strings.TrimSuffix(name, "/")); dir != "."; dir = path.Dir(dir) {
			if _, ok := entries[dir+"/"]; !ok {
				entries[dir+"/"] = addDir(0o755)
			}
		}
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for _, name := range slices.Sorted(maps.Keys(entries)) { // a folder comes before what is in it
		if err := entries[name](w, name); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("writing the layer: %w", err)
	}
	return layer.Bytes(), nil
}

func clean(name string) string { return strings.TrimPrefix(path.Clean(name), "/") }

func addDir(mode int64) func(*tar.Writer, string) error {
	return func(w *tar.Writer, name string) error {
		return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: mode, ModTime: time.Unix(0, 0)})
	}
}

func addFile(w *tar.Writer, name string, mode int64, data []byte) error {
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(data)), ModTime: time.Unix(0, 0)}); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	if _, err := w.Write(data); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}
