package render

import "testing"

func FuzzText(f *testing.F) {
	for _, c := range textCases {
		f.Add(c.in, len(c.in)/2)
	}
	for _, cases := range answerCases(f) {
		for _, c := range cases {
			f.Add(c.markdown, len(c.markdown)/2)
		}
	}
	for _, pattern := range hostile {
		f.Add(repeat(pattern, 20), 10)
	}
	f.Fuzz(func(t *testing.T, md string, at int) {
		text := textOf(md)
		checkText(t, text)
		if at < 0 || at > len(md) {
			at = len(md)
		}
		part := partialOf(md[:at])
		checkText(t, part)
		if len(part) <= len(text) && text[:len(part)] == part || takesBack(md) {
			return
		}
		t.Fatalf("after %d bytes of %q\nPartial = %q\nText    = %q", at, md, part, text)
	})
}

func FuzzPage(f *testing.F) {
	for _, c := range textCases {
		f.Add(c.want, 20)
	}
	f.Fuzz(func(t *testing.T, text string, limit int) {
		checkPages(t, text, limit)
	})
}
