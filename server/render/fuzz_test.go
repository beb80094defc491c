package render

import "testing"

func FuzzText(f *testing.F) {
	for _, c := range textCases {
		f.Add(c.in, len(c.in)/2)
	}
	for _, pattern := range hostile {
		f.Add(repeat(pattern, 20), 10)
	}
	f.Fuzz(func(t *testing.T, md string, at int) {
		text := Text(md)
		checkText(t, text)
		if at < 0 || at > len(md) {
			at = len(md)
		}
		part := Partial(md[:at])
		checkText(t, part)
		if len(part) <= len(text) && text[:len(part)] == part || loneEnd(md) {
			return
		}
		t.Fatalf("after %d bytes of %q\nPartial = %q\nText    = %q", at, md, part, text)
	})
}

// loneEnd reports whether md has what may take back what was shown.
func loneEnd(md string) bool { return indexFold(clean(md), "</think") >= 0 }

func FuzzPage(f *testing.F) {
	for _, c := range textCases {
		f.Add(c.want, 20)
	}
	f.Fuzz(func(t *testing.T, text string, limit int) {
		checkPages(t, text, limit)
	})
}
