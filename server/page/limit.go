package page

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// What may be asked for. A page takes up to 3 ms, and all of them together no more than a tenth of a processor: pushes come
// first. Followers share addresses, of carriers and of Ingresses that tell no other.
const (
	perAddress      = 3 // a second
	perAddressBurst = 90
	inAll           = 30 // a second, of requests with a valid address
	inAllBurst      = 120
	maxAddresses    = 4096
	pagesAtOnce     = 2
	filesAtOnce     = 6
	forwardsAtOnce  = 16
)

// bucket lets so much happen that it is full again at a time.
type bucket struct{ full time.Time }

// take takes one of burst, which refill at a rate a second.
func (b *bucket) take(now time.Time, rate, burst int) bool {
	every := time.Second / time.Duration(rate)
	full := b.full
	if full.Before(now) {
		full = now
	}
	full = full.Add(every)
	if full.Sub(now) > every*time.Duration(burst) {
		return false
	}
	b.full = full
	return true
}

// limits are the buckets of all who ask.
type limits struct {
	mu    sync.Mutex
	each  map[netip.Prefix]*bucket
	swept time.Time // when full buckets were last forgotten
	total bucket
}

// address takes from the bucket of an address. While there are too many of them, unknown ones share one.
func (l *limits) address(of netip.Prefix, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.each[of]
	if b == nil && len(l.each) >= maxAddresses && now.Sub(l.swept) >= time.Second {
		l.swept = now
		for other, have := range l.each {
			if !have.full.After(now) {
				delete(l.each, other)
			}
		}
	}
	if b == nil && len(l.each) >= maxAddresses {
		of = netip.Prefix{}
		b = l.each[of]
	}
	if b == nil {
		if l.each == nil {
			l.each = make(map[netip.Prefix]*bucket)
		}
		b = new(bucket)
		l.each[of] = b
	}
	return b.take(now, perAddress, perAddressBurst)
}

// all takes from the bucket of all.
func (l *limits) all(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total.take(now, inAll, inAllBurst)
}

// addressOf is who asks: the other end of the connection, or what an Ingress on a private address says of it. What a client
// claims itself stands before that. One client has a whole /64.
func addressOf(r *http.Request) netip.Prefix {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{}
	}
	if a = a.Unmap(); a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() {
		forwarded := r.Header.Values("X-Forwarded-For")
		if len(forwarded) > 0 {
			last := forwarded[len(forwarded)-1]
			last = strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
			if told, err := netip.ParseAddr(last); err == nil {
				a = told.Unmap()
			}
		}
	}
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, err := a.WithZone("").Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
