package media

import (
	"strings"
	"testing"
)

func TestTypeOf(t *testing.T) {
	for start, want := range map[string]string{
		"\xff\xd8\xff\xe0\x00\x10JFIF":              "image/jpeg",
		"\x89PNG\r\n\x1a\n":                         "image/png",
		"GIF89a":                                    "image/gif",
		"RIFF\x00\x00\x00\x00WEBPVP8 ":              "image/webp",
		"<svg xmlns='http://www.w3.org/2000/svg'/>": "image/svg+xml",
		"\xef\xbb\xbf<?xml version=\"1.0\"?>\n<!-- a <svg> -->\n<!DOCTYPE svg>\n<SVG>": "image/svg+xml",
		"<svg":                             "image/svg+xml",
		"<svgx>":                           "text/plain",
		"<!-- <svg>":                       "text/html",
		"<?xml version='1.0'?><html><svg>": "text/xml",
		"<html><svg>":                      "text/html",
		"a <svg>":                          "text/plain",
		"%PDF-1.7":                         "application/pdf",
		"PK\x03\x04":                       "application/zip",
		"#!AMR\n\x3c":                      "audio/amr",
		"#!AMR-WB\n\x3c":                   "audio/amr-wb",
		"\x02#!SILK_V3":                    "audio/silk",
		"ID3\x04\x00":                      "audio/mpeg",
		"\xff\xfb\x90\x64":                 "audio/mpeg",
		"\xff\xf3\x84\xc4":                 "audio/mpeg",
		"\xff\xfb\xf0\x00":                 "application/octet-stream",
		"\xff\xfe<\x00":                    "text/plain",
		"RIFF\x00\x00\x00\x00WAVEfmt ":     "audio/wave",
		"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp41isom": "video/mp4",
		"\x00\x01\x02\x03": "application/octet-stream",
		"":                 "text/plain",
		"{\"errcode\":0}":  "text/plain",
	} {
		if got := TypeOf([]byte(start)); got != want {
			t.Errorf("%q is %s, want %s", start, got, want)
		}
	}
}

func FuzzTypeOf(f *testing.F) {
	f.Add([]byte("<?xml?><!-- --><svg>"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got := TypeOf(b); !strings.Contains(got, "/") || strings.ContainsAny(got, "; ") {
			t.Fatalf("%q is %q", b, got)
		}
	})
}
