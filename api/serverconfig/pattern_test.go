package serverconfig

import (
	"regexp"
	"strings"
	"testing"
)

// Each pattern takes what the expression with its bounds written out would take.
func TestPattern_BoundsOfLength(t *testing.T) {
	const label = `[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?`
	for name, c := range map[string]struct {
		pattern pattern
		whole   string
		longest int
	}{
		"bot":     {botPattern, `^` + label + `/` + label + `$`, 127},
		"name":    {namePattern, `^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`, 253},
		"path":    {pathPattern, `^/[A-Za-z0-9/._~-]{0,255}$`, 256},
		"account": {accountPattern, `^[A-Za-z0-9_-]{1,64}$`, 64},
		"domain":  {domainPattern, `^(` + label + `[.])*` + label + `(:[1-9][0-9]{0,4})?$`, 253},
		"verify":  {verifyPattern, `^MP_verify_[0-9A-Za-z]{16}\.txt$`, 30},
		"host":    {hostPattern, `^(` + label + `[.])+[a-z][-a-z0-9]{0,61}[a-z0-9]$`, 253},
		"page":    {pagePattern, `^[A-Za-z0-9_/.?=&%-]{1,512}$`, 512},
		"key":     {plainKey, `^[A-Za-z0-9_-]{1,64}$`, 64},
	} {
		t.Run(name, func(t *testing.T) {
			whole := regexp.MustCompile(c.whole)
			taken := 0
			check := func(s string) {
				want := len(s) <= c.longest && whole.MatchString(s)
				if want {
					taken++
				}
				if got := c.pattern.matches(s); got != want {
					t.Errorf("%d bytes %q: %t, want %t", len(s), s, got, want)
				}
			}
			about := []int{0, 1, 2, 16, 61, 62, 63, 64, 65, 189, 251, 252, 253, 254, 255, 256, 511, 512, 513}
			for _, letter := range []string{"a", "0", "-", "B"} {
				for _, begins := range []string{"", "/", "MP_verify_", "a.", "a/"} {
					for _, first := range about {
						start := begins + strings.Repeat(letter, first)
						for _, end := range []string{"", " ", "\n", ".txt", ":443", ":0", ".", "..a", "-"} {
							check(start + end)
						}
						for _, between := range []string{".", "/"} {
							for _, second := range about[:9] {
								check(start + between + strings.Repeat("a", second))
							}
						}
					}
				}
			}
			if taken == 0 {
				t.Error("nothing was taken")
			}
		})
	}
}
