package serverconfig

import (
	"regexp"
	"strings"
)

// pattern is what a name may look like. The lengths stand beside the expression: as repetitions with a bound they would be
// compiled to as many copies, which cost every server a megabyte.
type pattern struct {
	expression *regexp.Regexp
	longest    int // bytes of the whole
	part       int // bytes between two of . and / and :
}

const maxLabelBytes = 63 // of a part of a domain (RFC 1035), and of a name that may be one

var (
	botPattern     = pattern{regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-a-z0-9]*[a-z0-9])?$`), 2*maxLabelBytes + 1, maxLabelBytes}
	namePattern    = pattern{regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`), 253, 253}
	pathPattern    = pattern{regexp.MustCompile(`^/[A-Za-z0-9/._~-]*$`), 256, 256}
	accountPattern = pattern{regexp.MustCompile(`^[A-Za-z0-9_-]+$`), 64, 64}
	domainPattern  = pattern{regexp.MustCompile(`^([a-z0-9]([-a-z0-9]*[a-z0-9])?[.])*[a-z0-9]([-a-z0-9]*[a-z0-9])?(:[1-9][0-9]{0,4})?$`), 253, maxLabelBytes}
	verifyPattern  = pattern{regexp.MustCompile(`^MP_verify_[0-9A-Za-z]{16}\.txt$`), 30, 30}
	hostPattern    = pattern{regexp.MustCompile(`^([a-z0-9]([-a-z0-9]*[a-z0-9])?[.])+[a-z][-a-z0-9]*[a-z0-9]$`), 253, maxLabelBytes}
	pagePattern    = pattern{regexp.MustCompile(`^[A-Za-z0-9_/.?=&%-]+$`), 512, 512}
	plainKey       = pattern{regexp.MustCompile(`^[A-Za-z0-9_-]+$`), 64, 64}
)

func (p pattern) matches(s string) bool {
	if len(s) > p.longest || !p.expression.MatchString(s) {
		return false
	}
	for part := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == '.' || r == '/' || r == ':' }) {
		if len(part) > p.part {
			return false
		}
	}
	return true
}
