package media

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// Policy says which addresses may be fetched. The zero Policy allows none.
type Policy struct {
	origins  map[string]bool // scheme://host:port
	roots    *x509.CertPool  // of the origins; nil: the system's
	suffixes []string        // of hosts
	internet bool
}

// Hosts is a policy that allows some hosts only, and no redirect to others. An entry is
//   - a host, such as qpic.cn: it and all below it, at the default port, if it resolves to a public address. https is tried before http,
//     whichever the address says;
//   - an origin, such as http://127.0.0.1:8080: nothing else of it is checked. It is for a host of one's own.
func Hosts(entries ...string) (Policy, error) {
	var p Policy
	for _, entry := range entries {
		if strings.Contains(entry, "://") {
			if err := p.addOrigin(entry); err != nil {
				return Policy{}, err
			}
			continue
		}
		host := strings.ToLower(strings.Trim(entry, "."))
		if !validHost(host) || !publicHost(host, public) {
			return Policy{}, fmt.Errorf("%q is neither the name of a public host nor an origin such as https://files.example.com", entry)
		}
		p.suffixes = append(p.suffixes, host)
	}
	return p, nil
}

// Internet is a policy that allows every https address, at the default port, whose host resolves to a public address, and these origins
// (scheme://host or scheme://host:port), wherever they are. An empty origin is passed over.
func Internet(origins ...string) (Policy, error) {
	p := Policy{internet: true}
	for _, origin := range origins {
		if origin == "" {
			continue
		}
		if err := p.addOrigin(origin); err != nil {
			return Policy{}, err
		}
	}
	return p, nil
}

// WithRoots is the same policy with other authorities for the certificates of its origins. For all other hosts the system's count.
func (p *Policy) WithRoots(roots *x509.CertPool) Policy {
	with := *p
	with.roots = roots
	return with
}

// Allows says whether an address may be fetched, as far as can be told without resolving its host.
func (p *Policy) Allows(address string) bool {
	u, err := url.Parse(address)
	return err == nil && p.judge(u) != refused
}

// addOrigin takes a URL for its origin: what comes behind is passed over.
func (p *Policy) addOrigin(s string) error {
	u, err := url.Parse(strings.TrimSpace(s))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		return errors.New("an origin must be http:// or https:// and a host, and no user")
	}
	if p.origins == nil {
		p.origins = make(map[string]bool)
	}
	p.origins[originOf(u)] = true
	return nil
}

func originOf(u *url.URL) string {
	return strings.ToLower(u.Scheme) + "://" + net.JoinHostPort(hostOf(u), portOf(u))
}

// hostOf gives the host in the form in which hosts are compared.
func hostOf(u *url.URL) string { return strings.TrimSuffix(strings.ToLower(u.Hostname()), ".") }

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	default:
		return "80"
	}
}

// verdict is what a policy says of an address.
type verdict int

const (
	refused verdict = iota
	guarded         // if the host is public
	trusted
)

// judge says what may be done with an address.
func (p *Policy) judge(u *url.URL) verdict {
	if u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.Opaque != "" || !validHost(u.Hostname()) {
		return refused
	}
	if p.origins[originOf(u)] {
		return trusted
	}
	if u.Port() != "" && u.Port() != portOf(&url.URL{Scheme: u.Scheme}) {
		return refused
	}
	if p.internet && u.Scheme == "https" || p.named(u) {
		return guarded
	}
	return refused
}

// named says whether the address' host is one of the policy's, or below one.
func (p *Policy) named(u *url.URL) bool {
	host := hostOf(u)
	for _, suffix := range p.suffixes {
		if host == suffix || strings.HasSuffix(host, "."+suffix) {
			return true
		}
	}
	return false
}

// validHost refuses what is no host in ASCII: names in other letters become numbers or dots on their way to a resolver.
func validHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	if host == "" || len(host) > 253 {
		return false
	}
	for _, c := range []byte(host) {
		if c != '-' && c != '.' && c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return !strings.HasPrefix(host, ".") && !strings.Contains(host, "..")
}
