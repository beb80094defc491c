package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// The parts of the OCI image format that are used: https://github.com/opencontainers/image-spec
type (
	imageIndex struct {
		Manifests []descriptor `json:"manifests"`
	}
	imageManifest struct {
		Config descriptor   `json:"config"`
		Layers []descriptor `json:"layers"`
	}
	imageConfig struct {
		Architecture string `json:"architecture"`
		OS           string `json:"os"`
	}
	descriptor struct {
		MediaType string `json:"mediaType"`
		Digest    string `json:"digest"`
	}
)

const gzippedLayer = "application/vnd.oci.image.layer.v1.tar+gzip"

// inImage reads what the binaries of an OCI archive are linked from. All of them have to be Go's, and for the platform
// that the image says it is for.
func inImage(path string) ([]*buildinfo.BuildInfo, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller says which file
	}
	defer file.Close() //nolint:errcheck // it is only read
	files := map[string][]byte{}
	if err := eachFile(file, func(name string, content []byte) error {
		files[name] = content
		return nil
	}); err != nil {
		return nil, err
	}
	var index imageIndex
	var manifest imageManifest
	var config imageConfig
	if err := decode(files, "index.json", &index); err != nil {
		return nil, err
	}
	if len(index.Manifests) != 1 {
		return nil, fmt.Errorf("it has %d images, want one", len(index.Manifests))
	}
	if err := decode(files, index.Manifests[0].blob(), &manifest); err != nil {
		return nil, err
	}
	if err := decode(files, manifest.Config.blob(), &config); err != nil {
		return nil, err
	}
	var found []*buildinfo.BuildInfo
	for _, layer := range manifest.Layers {
		if layer.MediaType != gzippedLayer {
			return nil, fmt.Errorf("a layer is %s, want %s", layer.MediaType, gzippedLayer)
		}
		unzipped, err := gzip.NewReader(bytes.NewReader(files[layer.blob()]))
		if err != nil {
			return nil, fmt.Errorf("reading the layer %s: %w", layer.Digest, err)
		}
		if err := eachFile(unzipped, func(name string, content []byte) error {
			if !bytes.HasPrefix(content, []byte("\x7fELF")) {
				return nil
			}
			info, err := buildinfo.Read(bytes.NewReader(content))
			if err != nil {
				return fmt.Errorf("reading /%s: %w", name, err)
			}
			if got, want := setting(info, "GOOS")+"/"+setting(info, "GOARCH"), config.OS+"/"+config.Architecture; got != want {
				return fmt.Errorf("/%s is for %s, the image for %s", name, got, want)
			}
			found = append(found, info)
			return nil
		}); err != nil {
			return nil, err
		}
	}
	if len(found) == 0 {
		return nil, errors.New("the image has no binary")
	}
	return found, nil
}

// blob is the file of an archive that has what is described.
func (d descriptor) blob() string {
	return "blobs/" + strings.Replace(d.Digest, ":", "/", 1)
}

func decode(files map[string][]byte, name string, into any) error {
	if err := json.Unmarshal(files[name], into); err != nil {
		return fmt.Errorf("reading its %q: %w", name, err)
	}
	return nil
}

// eachFile hands over the regular files of a tar archive.
func eachFile(archive io.Reader, do func(name string, content []byte) error) error {
	for reader := tar.NewReader(archive); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the archive: %w", err)
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			return fmt.Errorf("reading %s: %w", header.Name, err)
		}
		if err := do(strings.TrimPrefix(header.Name, "./"), content); err != nil {
			return err
		}
	}
}

func setting(info *buildinfo.BuildInfo, key string) string {
	for _, s := range info.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}
