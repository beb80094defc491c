package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// change is an entry of the changelog, as Artifact Hub lists it.
type change struct {
	Kind        string `json:"kind"`
	Description string `json:"description"`
	Links       []link `json:"links,omitempty"`
}

type link struct {
	Name string `json:"name"`
	URL  string `json:"url"`
}

// kinds are Artifact Hub's, which are those of Keep a Changelog.
var kinds = []string{"added", "changed", "deprecated", "removed", "fixed", "security"}

// changesOf gives the entries of a version (such as v0.1.0). A pre-release that has no section of its own has what is in
// [Unreleased]. Links within the repository lead to its files as of the version.
func changesOf(changelog, version, home string) ([]change, error) {
	lines, err := section(changelog, version)
	if err != nil {
		return nil, err
	}
	var (
		changes []change
		kind    string
	)
	for _, line := range lines {
		heading, isHeading := strings.CutPrefix(line, "### ")
		entry, isEntry := strings.CutPrefix(line, "- ")
		more, goesOn := strings.CutPrefix(line, "  ")
		switch {
		case line == "":
		case isHeading:
			if kind = strings.ToLower(heading); !slices.Contains(kinds, kind) {
				return nil, fmt.Errorf("%q is not one of %s", heading, strings.Join(kinds, ", "))
			}
		case kind == "": // a word about the release as a whole
		case isEntry:
			changes = append(changes, change{Kind: kind, Description: entry})
		case goesOn && !strings.HasPrefix(more, "- ") && len(changes) > 0:
			changes[len(changes)-1].Description += " " + more
		default:
			return nil, fmt.Errorf("this is neither an entry nor the rest of one: %q", line)
		}
	}
	for i := range changes {
		changes[i].plain(home + "/blob/" + version + "/")
	}
	return changes, nil
}

func section(changelog, version string) ([]string, error) {
	lines := strings.Split(changelog, "\n")
	names := []string{strings.TrimPrefix(version, "v")}
	if strings.Contains(version, "-") {
		names = append(names, "Unreleased")
	}
	for _, name := range names {
		start := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "## ["+name+"]") })
		if start < 0 {
			continue
		}
		lines = lines[start+1:]
		if end := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "## ") }); end >= 0 {
			lines = lines[:end]
		}
		return lines, nil
	}
	return nil, errors.New("there is no section [" + strings.Join(names, "] or [") + "]")
}

var markdownLink = regexp.MustCompile(`\[([^\]]+)\]\(([^)\s]+)\)`)

// plain takes Markdown's links, which become links of the entry, and its emphasis out of the text.
func (c *change) plain(base string) {
	for _, m := range markdownLink.FindAllStringSubmatch(c.Description, -1) {
		target := m[2]
		if !strings.HasPrefix(target, "https://") {
			target = base + target
		}
		c.Links = append(c.Links, link{m[1], target})
	}
	c.Description = strings.ReplaceAll(markdownLink.ReplaceAllString(c.Description, "$1"), "**", "")
}
