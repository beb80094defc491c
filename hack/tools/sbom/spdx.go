package main

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"time"
)

// The parts of SPDX 2.3 that are used: https://spdx.github.io/spdx-spec/v2.3/
type (
	spdx struct {
		SPDXVersion   string         `json:"spdxVersion"`
		DataLicense   string         `json:"dataLicense"`
		ID            string         `json:"SPDXID"`
		Name          string         `json:"name"`
		Namespace     string         `json:"documentNamespace"`
		CreationInfo  creation       `json:"creationInfo"`
		Packages      []spdxPackage  `json:"packages"`
		Relationships []relationship `json:"relationships"`
	}
	creation struct {
		Created  string   `json:"created"`
		Creators []string `json:"creators"`
	}
	spdxPackage struct {
		ID               string        `json:"SPDXID"`
		Name             string        `json:"name"`
		Version          string        `json:"versionInfo"`
		DownloadLocation string        `json:"downloadLocation"`
		FilesAnalyzed    bool          `json:"filesAnalyzed"`
		LicenseConcluded string        `json:"licenseConcluded"`
		LicenseDeclared  string        `json:"licenseDeclared"`
		Copyright        string        `json:"copyrightText"`
		References       []externalRef `json:"externalRefs"`
	}
	externalRef struct {
		Category string `json:"referenceCategory"`
		Type     string `json:"referenceType"`
		Locator  string `json:"referenceLocator"`
	}
	relationship struct {
		From string `json:"spdxElementId"`
		Type string `json:"relationshipType"`
		To   string `json:"relatedSpdxElement"`
	}
)

const (
	noAssertion = "NOASSERTION"
	documentID  = "SPDXRef-DOCUMENT"
	productID   = "SPDXRef-product"
)

// document is the bill of materials. Its namespace, which has to be unique, follows from what it lists.
func document(product, version string, created int64, components []component) spdx {
	d := spdx{
		SPDXVersion: "SPDX-2.3", DataLicense: "CC0-1.0", ID: documentID,
		Name: product[strings.LastIndexByte(product, '/')+1:] + " " + version,
		CreationInfo: creation{
			Created:  time.Unix(created, 0).UTC().Format(time.RFC3339),
			Creators: []string{"Tool: " + product + "/hack/tools/sbom"},
		},
		Packages:      []spdxPackage{packageOf(productID, product, version, []string{"Apache-2.0"})},
		Relationships: []relationship{{documentID, "DESCRIBES", productID}},
	}
	listed := sha256.New()
	for i, c := range components {
		id := fmt.Sprintf("SPDXRef-module-%d", i+1)
		d.Packages = append(d.Packages, packageOf(id, c.path, c.version, c.licences))
		d.Relationships = append(d.Relationships, relationship{productID, "DEPENDS_ON", id})
		_, _ = fmt.Fprintln(listed, c.path, c.version) // a hash takes everything
	}
	d.Namespace = fmt.Sprintf("https://%s/sbom/%s-%x", product, version, listed.Sum(nil)[:8])
	return d
}

func packageOf(id, path, version string, licences []string) spdxPackage {
	expression := strings.Join(licences, " AND ")
	name := path
	if path == "std" {
		name = "stdlib" // as the Package URL of Go's standard library is
	}
	return spdxPackage{
		ID: id, Name: name, Version: version, DownloadLocation: noAssertion, Copyright: noAssertion,
		LicenseConcluded: expression, LicenseDeclared: expression,
		References: []externalRef{{"PACKAGE-MANAGER", "purl", "pkg:golang/" + name + "@" + version}},
	}
}
