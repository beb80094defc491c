package serverconfig

import (
	"regexp"
	"strings"
	"testing"
)

// Names are told as the expressions of Kubernetes and DNS tell them.
func FuzzNames(f *testing.F) {
	const label = `[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?`
	bot := regexp.MustCompile(`^` + label + `/` + label + `$`)
	domain := regexp.MustCompile(`^(` + label + `[.])*` + label + `(:[1-9][0-9]{0,4})?$`)
	host := regexp.MustCompile(`^(` + label + `[.])+[a-z][-a-z0-9]{0,61}[a-z0-9]$`)
	name := regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`)
	long := strings.Repeat("a", 63)
	for _, s := range []string{
		"", ".", "/", ":", "a", "-a", "a-", "a--b", "A", "a_b", "a.b", "a..b", ".a", "a.", "1.2", "a.1b", "a.b1", "a.b", "a.bc", "a.b-", "a.-b", "a.b-c",
		"a/b", "a/b/c", "a/", "/b", "a/-b", "a/b.c", "a:1", "a:0", "a:12345", "a:123456", "a:", "a:1:2", "a.b:80", "a\n", "a.bc\n", "é.com",
		long, long + "a", long + "/" + long, long + "a/b", long + "." + long, "x." + long, "x." + long + "a", strings.Repeat("a", 253), strings.Repeat("a", 254),
		strings.Repeat(long+".", 3) + long[:61], strings.Repeat(long+".", 3) + long[:62],
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for what, c := range map[string]struct{ got, want bool }{
			"a bot":              {isBot(s), bot.MatchString(s)},
			"a domain":           {isDomain(s), len(s) <= 253 && domain.MatchString(s)},
			"a host of pictures": {strings.Contains(s, "://") || isPictureHost(s), strings.Contains(s, "://") || host.MatchString(s)},
			"a name":             {namePattern.match(s), name.MatchString(s)},
		} {
			if c.got != c.want {
				t.Errorf("%q is %s: %v, want %v", s, what, c.got, c.want)
			}
		}
	})
}
