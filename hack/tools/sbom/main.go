// Command sbom lists the Go modules that binaries are linked from, with their licences: it writes a bill of materials
// (SPDX 2.3, JSON), and fails if a licence is not one of those that a distributor has nothing to do for but to pass the
// text on. It reads what the linker wrote into the binaries, so it lists what is shipped and nothing else. The binaries
// may be in an image (an OCI archive, *.oci.tar).
package main

import (
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// allowed are the licences that may be linked.
var allowed = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT"}

// enough is how much of a licence file must be a known licence, in per cent: the rest is who has the copyright.
const enough = 75

// component is a module, or Go's standard library.
type component struct {
	path, version string
	licences      []string
}

func main() {
	out := flag.String("o", "", "file for the bill of materials; without it only the licences are checked")
	version := flag.String("version", "dev", "version of the product")
	created := flag.Int64("created", 0, "time of the bill, in seconds since 1970")
	flag.Usage = func() {
		_, _ = fmt.Fprintln(flag.CommandLine.Output(), "usage: sbom [-o FILE -version VERSION -created SECONDS] BINARY|IMAGE.oci.tar...")
		flag.PrintDefaults()
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, flag.Args(), *out, *version, *created)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, binaries []string, out, version string, created int64) error {
	if len(binaries) == 0 {
		return errors.New("no binaries are given")
	}
	product, components, err := linked(binaries)
	if err != nil {
		return err
	}
	if err := license(ctx, components); err != nil {
		return err
	}
	if err := check(components); err != nil {
		return err
	}
	fmt.Printf("%d modules and the standard library are linked, all under %s\n", len(components)-1, strings.Join(allowed, ", "))
	if out == "" {
		return nil
	}
	content, err := json.MarshalIndent(document(product, version, created, components), "", "  ")
	if err != nil {
		return fmt.Errorf("making the bill of materials: %w", err)
	}
	if err := os.WriteFile(out, append(content, '\n'), 0o644); err != nil { //nolint:gosec // it is to be published
		return fmt.Errorf("writing the bill of materials: %w", err)
	}
	return nil
}

// linked gives the main module of the binaries and what they are linked from, each once, sorted.
func linked(binaries []string) (product string, components []component, err error) {
	var infos []*buildinfo.BuildInfo
	for _, path := range binaries {
		found, err := builds(path)
		if err != nil {
			return "", nil, fmt.Errorf("reading %s: %w", path, err)
		}
		infos = append(infos, found...)
	}
	for _, info := range infos {
		product = info.Main.Path
		components = append(components, component{path: "std", version: strings.TrimPrefix(info.GoVersion, "go")})
		for _, m := range info.Deps {
			if m.Replace != nil {
				m = m.Replace
			}
			components = append(components, component{path: m.Path, version: m.Version})
		}
	}
	slices.SortFunc(components, func(a, b component) int {
		return strings.Compare(a.path+"@"+a.version, b.path+"@"+b.version)
	})
	components = slices.CompactFunc(components, func(a, b component) bool { return a.path == b.path && a.version == b.version })
	return product, components, nil
}

func builds(path string) ([]*buildinfo.BuildInfo, error) {
	if strings.HasSuffix(path, ".oci.tar") {
		return inImage(path)
	}
	info, err := buildinfo.ReadFile(path)
	return []*buildinfo.BuildInfo{info}, err //nolint:wrapcheck // the caller says which file
}

// license fills in the licences, from the files at the top of each module.
func license(ctx context.Context, components []component) error {
	args := []string{"mod", "download", "-json"}
	for _, c := range components {
		if c.path != "std" {
			args = append(args, c.path+"@"+c.version)
		}
	}
	goroot, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("asking where Go is: %w", err)
	}
	folders := map[string]string{"std": strings.TrimSpace(string(goroot))}
	if len(args) > 3 {
		command := exec.CommandContext(ctx, "go", args...)
		command.Dir = os.TempDir() // what a go.mod here says of these modules is of no matter
		listed, err := command.Output()
		if err != nil {
			return fmt.Errorf("finding the modules' files: %w\n%s", err, listed)
		}
		for decoder := json.NewDecoder(strings.NewReader(string(listed))); ; {
			var m struct{ Path, Version, Dir string }
			if err := decoder.Decode(&m); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return fmt.Errorf("reading what go mod download says: %w", err)
			}
			folders[m.Path+"@"+m.Version] = m.Dir
		}
	}
	for i, c := range components {
		folder := folders[c.path+"@"+c.version]
		if c.path == "std" {
			folder = folders["std"]
		}
		if components[i].licences, err = licencesIn(folder); err != nil {
			return fmt.Errorf("%s %s: %w", c.path, c.version, err)
		}
	}
	return nil
}

var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying)([-._].*)?$`)

// licencesIn recognizes all licence files of a folder.
func licencesIn(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("looking for its licence: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if entry.IsDir() || strings.HasSuffix(entry.Name(), ".go") || !licenceFile.MatchString(entry.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			return nil, fmt.Errorf("reading its licence: %w", err)
		}
		found := licensecheck.Scan(text)
		if found.Percent < enough {
			return nil, fmt.Errorf("%s is not a licence that is known (%.0f %% of it are)", entry.Name(), found.Percent)
		}
		for _, match := range found.Match {
			if !match.IsURL {
				names = append(names, match.ID)
			}
		}
	}
	if len(names) == 0 {
		return nil, errors.New("it has no licence")
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// check says which components may not be linked.
func check(components []component) error {
	var refused []error
	for _, c := range components {
		for _, name := range c.licences {
			if !slices.Contains(allowed, name) {
				refused = append(refused, fmt.Errorf("%s %s is under %s, which is not one of %s", c.path, c.version, name, strings.Join(allowed, ", ")))
			}
		}
	}
	return errors.Join(refused...)
}
