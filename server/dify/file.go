package dify

import (
	"net/url"
	"path"
	"slices"
	"strings"
)

// maxFiles is the maximum number of files of an answer; the others are dropped.
const maxFiles = 32

// AnswerFile is a file that the app made.
type AnswerFile struct {
	// Name is from Dify or the URL. It is empty if there is only an ID.
	Name     string
	Type     string // image, document, audio, video, custom
	MIMEType string // empty if unknown
	// URL is absolute. Dify's signed URLs expire, by default after 300 s; Messages returns new ones.
	URL  string
	Size int64 // in bytes, 0 if unknown
}

// LinkedIn reports whether Markdown has a link to the file already, with any signature.
func (f AnswerFile) LinkedIn(markdown string) bool {
	u, err := url.Parse(f.URL)
	if err != nil {
		return false
	}
	if !signed(u) {
		return strings.Contains(markdown, f.URL)
	}
	return strings.Contains(markdown, u.EscapedPath()) || strings.Contains(markdown, u.Path)
}

// signed reports whether a URL is a signed one of Dify's.
func signed(u *url.URL) bool { return u.Query().Has("sign") }

// wireFile is a file in events and messages, in the forms of all releases.
type wireFile struct {
	typ, url, remoteURL, filename, mimeType string
	belongsTo, transferMethod               string
	uploadID                                string // of a user's upload
	size                                    int64
}

func (f *wireFile) member(l *lexer, name []byte) {
	switch string(name) {
	case "type":
		f.typ = l.short(maxTitle)
	case "url":
		f.url = l.short(maxURL)
	case "remote_url":
		f.remoteURL = l.short(maxURL)
	case "filename":
		f.filename = l.prefix(maxFilename)
	case "mime_type":
		f.mimeType = l.short(maxTitle)
	case "size":
		f.size = int64(clamp(l.number(), 1<<50))
	case "belongs_to":
		f.belongsTo = l.short(maxTitle)
	case "transfer_method":
		f.transferMethod = l.short(maxTitle)
	case "upload_file_id":
		f.uploadID = l.short(maxID)
	default:
		l.skip()
	}
}

func readFiles(l *lexer, into []wireFile) []wireFile {
	l.elements(func() {
		var f wireFile
		l.members(func(name []byte) { f.member(l, name) })
		if len(into) < 2*maxFiles { // including uploads
			into = append(into, f)
		}
	})
	return into
}

// isUpload reports whether the user has sent the file with the question. Chat apps list uploads beside the files that
// their tools have made.
func (f *wireFile) isUpload(chatflow bool) bool {
	if f.belongsTo != "" {
		return f.belongsTo == "user"
	}
	return !chatflow && f.transferMethod != "" && f.transferMethod != "tool_file"
}

// files collects the files of an answer.
type files struct {
	root  *url.URL // base of relative URLs
	asked []File   // of the question
	list  []AnswerFile
}

// add adds a file, unless it is in the list already or was sent with the question.
func (fs *files) add(f wireFile) {
	u := fs.resolve(&f)
	if u == nil || len(fs.list) >= maxFiles {
		return
	}
	for _, a := range fs.asked {
		if a.UploadFileID != "" && (a.UploadFileID == f.uploadID || strings.Contains(u.Path, "/"+a.UploadFileID+"/")) || a.URL != "" && a.URL == u.String() {
			return
		}
	}
	file := AnswerFile{Name: fileName(f.filename, u), Type: f.typ, MIMEType: f.mimeType, URL: u.String(), Size: f.size}
	same := func(have AnswerFile) bool {
		v, err := url.Parse(have.URL)
		return have.URL == file.URL || err == nil && signed(u) && signed(v) && v.Host == u.Host && v.Path == u.Path
	}
	if i := slices.IndexFunc(fs.list, same); i >= 0 { // a later event may know more
		fs.list[i] = merge(fs.list[i], file)
		return
	}
	fs.list = append(fs.list, file)
}

// resolve returns a file's absolute URL, nil if it has none for http. Dify's URLs are relative if FILES_URL is not set.
func (fs *files) resolve(f *wireFile) *url.URL {
	address := f.url
	if address == "" {
		address = f.remoteURL
	}
	ref, err := url.Parse(strings.TrimSpace(address))
	if address == "" || err != nil || ref.User != nil {
		return nil
	}
	if ref.Scheme == "" && ref.Host == "" && fs.root.Path != "" { // Dify under a path prefix
		ref.Path = path.Join(fs.root.Path, ref.Path)
		ref.RawPath = ""
	}
	u := fs.root.ResolveReference(ref)
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil
	}
	return u
}

func merge(a, b AnswerFile) AnswerFile {
	for _, m := range []struct {
		into *string
		from string
	}{{&a.Name, b.Name}, {&a.Type, b.Type}, {&a.MIMEType, b.MIMEType}} {
		if *m.into == "" {
			*m.into = m.from
		}
	}
	a.Size = max(a.Size, b.Size)
	return a
}

// fileName returns the name that Dify gives, else the last part of the URL unless that is an ID.
func fileName(given string, u *url.URL) string {
	name := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7F {
			return -1
		}
		return r
	}, given)
	if name = strings.TrimSpace(name); name != "" {
		return name
	}
	name = path.Base(u.Path)
	stem := strings.TrimSuffix(name, path.Ext(name))
	if stem == name || isID(stem) && len(stem) >= 32 { // not a file name, or an ID
		return ""
	}
	return prefix(name, maxFilename)
}
