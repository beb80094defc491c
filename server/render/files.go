package render

import (
	"bytes"
	"cmp"
	"strings"
	"unicode/utf8"
)

// File is a file that an app made.
type File struct {
	Name string // "报表.xlsx"; a file without a name is called by its type
	Type string // Dify's: image, audio, video, document or custom
	URL  string // absolute, or /files/…
}

// maxFileName is how many bytes of a file's name are shown.
const maxFileName = 240

// appendFiles adds a line with a link for each of files that out does not link yet.
func (o *Options) appendFiles(out []byte, files []File) []byte {
	gap := "\n\n"
	for _, f := range files {
		name := o.fileName(f)
		address, ok := o.linkable(f.URL)
		switch {
		case !ok:
		case isLinked(out, address):
			continue
		case len(address)+len(name)+len(`<a href=""></a>`) <= o.maxLink():
			name = anchor(href(address), name)
		}
		out = bytes.TrimRight(out, " \t\n")
		out = append(out, gap...)
		out = append(out, name...)
		gap = "\n"
	}
	return out
}

func (o *Options) fileName(f File) string {
	w := o.words()
	name := inOneLine(clean(f.Name))
	for len(name) > maxFileName {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	of := map[string]string{"image": w.image, "audio": w.audio, "video": w.video}
	return cmp.Or(name, of[f.Type], w.file)
}

// isLinked reports whether out has a link to the file at address. Dify signs the address of its files anew each time that
// it names them, perhaps on another host.
func isLinked(out []byte, address string) bool {
	ends := `"`
	if n := strings.Index(address, filesPath); n >= 0 && strings.Contains(address, "sign=") {
		address, _, _ = strings.Cut(address[n:], "?")
		ends = `"?`
	}
	for {
		n := bytes.Index(out, []byte(address))
		if n < 0 {
			return false
		}
		out = out[n+len(address):]
		if len(out) == 0 || strings.IndexByte(ends, out[0]) >= 0 || !isURLByte(out[0]) {
			return true
		}
	}
}
