package media

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
)

// signatures are types that net/http does not know, by how a file begins.
var signatures = []struct{ start, contentType string }{
	{"#!AMR-WB\n", "audio/amr-wb"},
	{"#!AMR\n", "audio/amr"},
	{"#!SILK_V3", "audio/silk"},
	{"\x02#!SILK_V3", "audio/silk"},
	{"fLaC", "audio/flac"},
}

// TypeOf gives the type that the first 512 bytes of a file show, without parameters; application/octet-stream if they show none.
func TypeOf(start []byte) string {
	for _, s := range signatures {
		if bytes.HasPrefix(start, []byte(s.start)) {
			return s.contentType
		}
	}
	if isMP3(start) {
		return "audio/mpeg"
	}
	contentType, _, _ := strings.Cut(http.DetectContentType(start), ";")
	if strings.HasPrefix(contentType, "text/") && isSVG(start) {
		return "image/svg+xml"
	}
	return contentType
}

// isMP3 knows a file that begins with a frame of layer III; net/http knows those with tags in front.
func isMP3(b []byte) bool {
	const (
		sync     = 0xe0 // the upper bits of the second byte
		layerIII = 0x02 // bits 2 and 1 of it: 01
	)
	return len(b) > 2 && b[0] == 0xff && b[1]&sync == sync && b[1]&0x06 == layerIII && b[2]&0xf0 != 0xf0 && b[2]&0x0c != 0x0c
}

// isSVG looks for the root element behind a declaration, comments and a DTD.
func isSVG(b []byte) bool {
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	for {
		b = bytes.TrimLeft(b, " \t\r\n")
		switch {
		case hasPrefixFold(b, "<svg"):
			return len(b) == 4 || strings.IndexByte(" \t\r\n/>", b[4]) >= 0
		case bytes.HasPrefix(b, []byte("<!--")):
			_, rest, found := bytes.Cut(b, []byte("-->"))
			if !found {
				return false
			}
			b = rest
		case bytes.HasPrefix(b, []byte("<?")), hasPrefixFold(b, "<!doctype"):
			_, rest, found := bytes.Cut(b, []byte(">"))
			if !found {
				return false
			}
			b = rest
		default:
			return false
		}
	}
}

func hasPrefixFold(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && strings.EqualFold(string(b[:len(prefix)]), prefix)
}

// taken says whether a type is one of those that are wanted.
func taken(wanted []string, contentType string) bool {
	return len(wanted) == 0 || slices.ContainsFunc(wanted, func(w string) bool {
		return w == contentType || strings.HasSuffix(w, "/") && strings.HasPrefix(contentType, w)
	})
}
