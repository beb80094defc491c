package serverconfig

import (
	"regexp"
	"strings"
)

// bounded is a pattern for texts of so many bytes at most. Counts in an expression would say the same, but each step of them costs memory,
// which every bot's server pays for.
type bounded struct {
	bytes   int
	pattern *regexp.Regexp
}

func (b bounded) match(s string) bool { return len(s) <= b.bytes && b.pattern.MatchString(s) }

// areLabels tells whether all are labels of DNS in lower case.
func areLabels(labels []string) bool {
	for _, l := range labels {
		if l == "" || len(l) > 63 || strings.Trim(l, "-abcdefghijklmnopqrstuvwxyz0123456789") != "" || l[0] == '-' || l[len(l)-1] == '-' {
			return false
		}
	}
	return true
}

// isBot tells whether it is a namespace/name.
func isBot(s string) bool {
	labels := strings.Split(s, "/")
	return len(labels) == 2 && areLabels(labels)
}

// isDomain tells whether it is a domain, with a port perhaps.
func isDomain(s string) bool {
	host, port, ported := strings.Cut(s, ":")
	return len(s) <= 253 && areLabels(strings.Split(host, ".")) && (!ported || portPattern.MatchString(port))
}
