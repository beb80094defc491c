// Command bundle writes the bundle of the Operator Lifecycle Manager (OLM): the ClusterServiceVersion, the CRD, what else
// OLM has to make, the metadata, and a Dockerfile. It reads what kustomize makes of config/default, the operator's chart,
// the samples and README.md, so nothing is said twice, and has operator-framework's own validators judge what it has
// written: an error fails, a warning is printed.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// options are what a bundle is made of.
type options struct {
	root      string // of the repository
	manifests string // what kustomize makes of config/default, with the image of the release
	version   string // such as v0.1.0
	created   time.Time
	out       string // folder; what is in it is replaced
}

func main() {
	var o options
	flag.StringVar(&o.root, "root", ".", "the repository")
	flag.StringVar(&o.manifests, "manifests", "", "file with what kustomize makes of config/default")
	flag.StringVar(&o.version, "version", "", "version of the release, such as v0.1.0")
	flag.StringVar(&o.out, "o", "dist/bundle", "folder to write; what is in it is replaced")
	created := flag.Int64("created", 0, "time of the release, in seconds since 1970")
	flag.Parse()
	o.created = time.Unix(*created, 0).UTC()
	if err := run(o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bundle:", err)
		os.Exit(1)
	}
}

func run(o options, report io.Writer) error {
	if o.manifests == "" || o.version == "" {
		return errors.New("-manifests and -version are needed")
	}
	p, err := read(o)
	if err != nil {
		return err
	}
	if err := write(o.out, p); err != nil {
		return err
	}
	warnings, err := validate(o.out)
	for _, w := range warnings {
		_, _ = fmt.Fprintln(report, "bundle: warning:", w)
	}
	if err != nil {
		return fmt.Errorf("what was written to %s is not valid: %w", o.out, err)
	}
	_, _ = fmt.Fprintf(report, "bundle: %s for the image %s, in the channel %s, is in %s\n", p.name(), p.image(), p.channel(), o.out)
	return nil
}

// write makes the folder anew.
func write(out string, p *product) error {
	files, err := p.files()
	if err != nil {
		return err
	}
	if err := os.RemoveAll(out); err != nil {
		return fmt.Errorf("making room: %w", err)
	}
	for name, content := range files {
		path := filepath.Join(out, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // it is to be published
			return fmt.Errorf("making a folder: %w", err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil { //nolint:gosec // it is to be published
			return fmt.Errorf("writing: %w", err)
		}
	}
	return nil
}
