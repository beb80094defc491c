package media

import (
	"net/netip"
	"strings"
)

// notPublic are the parts of the global unicast space, as netip sees it, that no host on the Internet has, or that a cloud's own services
// have (IANA's special-purpose registries; Azure's 168.63.129.16 answers every virtual machine).
var notPublic = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
	"192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	// Of IPv6 only 2000::/3 is public at all, and within it not: protocol assignments with Teredo and ORCHID, documentation, 6to4.
	"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
)

var (
	publicIPv6 = netip.MustParsePrefix("2000::/3")
	// nat64 is how hosts of a network without IPv4 reach it: the address is in the last four bytes (RFC 6052). A network's own prefix,
	// 64:ff9b:1::/48, is not public.
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
)

func prefixes(list ...string) []netip.Prefix {
	parsed := make([]netip.Prefix, len(list))
	for i, s := range list {
		parsed[i] = netip.MustParsePrefix(s)
	}
	return parsed
}

// public says whether an address is one of the Internet's, in whatever form it is written.
func public(a netip.Addr) bool {
	if a.Zone() != "" {
		return false
	}
	a = a.Unmap()
	if nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	if !a.IsValid() || a.Is6() && !publicIPv6.Contains(a) {
		return false
	}
	for _, p := range notPublic {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// localNames are the endings of names that only a network of one's own resolves.
var localNames = []string{
	"localhost", "local", "localdomain", "internal", "intranet", "private", "corp", "home", "lan", "svc", "default", "home.arpa",
	"test", "example", "invalid", "onion",
}

// publicHost says whether a host may be public: what can be told without resolving it. Where a proxy resolves it that is all there is to
// tell, and the proxy has to keep its clients from what is not public.
func publicHost(host string, publicAddress func(netip.Addr) bool) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return publicAddress(a)
	}
	host = strings.TrimSuffix(host, ".")
	last := host[strings.LastIndexByte(host, '.')+1:]
	// A name of one label is the network's own. Resolvers take one that ends in a number for an address in one of its many forms.
	if last == host || last == "" || isNumber(last) {
		return false
	}
	for _, ending := range localNames {
		if last == ending || strings.HasSuffix(host, "."+ending) {
			return false
		}
	}
	return true
}

// isNumber says whether a label is a number to a resolver: decimal, octal or hexadecimal.
func isNumber(label string) bool {
	digits := label
	if after, ok := strings.CutPrefix(digits, "0x"); ok {
		return strings.Trim(after, "0123456789abcdef") == ""
	}
	return strings.Trim(digits, "0123456789") == ""
}
