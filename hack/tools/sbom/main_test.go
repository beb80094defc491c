package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestWhatABinaryIsLinkedFrom(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	product, components, err := linked([]string{self, self})
	if err != nil {
		t.Fatal(err)
	}
	if product != "github.com/wechatbot/wechatbot-operator/hack/tools/sbom" {
		t.Errorf("product = %s", product)
	}
	if len(components) != 2 || components[0].path != "github.com/google/licensecheck" || components[1].path != "std" {
		t.Fatalf("components = %v", components)
	}
	if err := license(t.Context(), components); err != nil {
		t.Fatal(err)
	}
	for _, c := range components {
		if !slices.Equal(c.licences, []string{"BSD-3-Clause"}) {
			t.Errorf("%s is under %v", c.path, c.licences)
		}
	}
	if err := check(components); err != nil {
		t.Error(err)
	}
}

func TestTheBillNamesEveryComponent(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var bills []string
	for _, name := range []string{"a", "b"} {
		out := filepath.Join(t.TempDir(), name)
		if err := run(t.Context(), []string{self}, out, "v1.2.3", 1_700_000_000); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		bills = append(bills, string(content))
	}
	if bills[0] != bills[1] {
		t.Error("two bills of the same binary differ")
	}
	var d spdx
	if err := json.Unmarshal([]byte(bills[0]), &d); err != nil {
		t.Fatal(err)
	}
	if d.SPDXVersion != "SPDX-2.3" || d.Name != "sbom v1.2.3" || d.CreationInfo.Created != "2023-11-14T22:13:20Z" || len(d.Packages) != 3 || len(d.Relationships) != 3 {
		t.Errorf("the bill is\n%s", bills[0])
	}
	if got := d.Packages[1].References[0].Locator; !strings.HasPrefix(got, "pkg:golang/github.com/google/licensecheck@v") {
		t.Errorf("the module's Package URL is %s", got)
	}
	ids := map[string]bool{documentID: true}
	for _, p := range d.Packages {
		if ids[p.ID] {
			t.Errorf("two packages are %s", p.ID)
		}
		ids[p.ID] = true
	}
	for _, r := range d.Relationships {
		if !ids[r.From] || !ids[r.To] {
			t.Errorf("the relationship %v is with nothing", r)
		}
	}
}

func TestLicencesThatAreRefused(t *testing.T) {
	mit := "Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files (the \"Software\"), " +
		"to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell " +
		"copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to the following conditions:\n\n" +
		"The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.\n\n" +
		"THE SOFTWARE IS PROVIDED \"AS IS\", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR " +
		"A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION " +
		"OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.\n"
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"none":          {map[string]string{"README.md": mit}, "it has no licence"},
		"not known":     {map[string]string{"LICENSE": "All rights reserved. Ask us first."}, "is not a licence that is known"},
		"fine":          {map[string]string{"LICENSE.md": mit}, ""},
		"in two files":  {map[string]string{"LICENSE": mit, "COPYING": "Do what you like, but pay."}, "COPYING is not a licence"},
		"British":       {map[string]string{"LICENCE": mit}, ""},
		"not a licence": {map[string]string{"license.go": "package x", "LICENSE": mit}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range c.files {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			found, err := licencesIn(dir)
			switch {
			case c.want == "" && (err != nil || !slices.Equal(found, []string{"MIT"})):
				t.Errorf("got %v, %v", found, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, %v, want an error with %q", found, err, c.want)
			}
		})
	}
	if err := check([]component{{"example.com/a", "v1.0.0", []string{"MIT", "GPL-3.0"}}}); err == nil || !strings.Contains(err.Error(), "example.com/a v1.0.0 is under GPL-3.0") {
		t.Errorf("a module under the GPL: %v", err)
	}
}
