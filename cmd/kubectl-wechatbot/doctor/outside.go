package doctor

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/cmd/kubectl-wechatbot/inspect"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
	"github.com/wechatbot/wechatbot-operator/server/wechat"
)

// Outside is the way to a bot's URL, as WeChat takes it: HTTPS at port 443, a public certificate with its whole chain, no
// redirect, an answer within five seconds.
type Outside struct {
	// LookupHost finds addresses.
	LookupHost func(ctx context.Context, host string) ([]string, error)
	// Dial connects.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Connect is a host:port to connect to instead of the domain's, empty for the domain's own.
	Connect string
	// Roots are the authorities that are trusted; nil means this system's.
	Roots *x509.CertPool
	// Now is the clock.
	Now func() time.Time
}

const (
	outsideTime = 5 * time.Second     // as long as WeChat waits
	soon        = 14 * 24 * time.Hour // before its end a certificate is worth a word
	slow        = 2 * time.Second
	echoLimit   = 4 << 10
)

// dns looks whether the domain leads to the Ingress.
func (o Outside) dns(ctx context.Context, f *inspect.Facts) Finding {
	ctx, cancel := context.WithTimeout(ctx, outsideTime)
	defer cancel()
	domain := f.Bot.Spec.Domain
	has, err := o.LookupHost(ctx, domain)
	if err != nil {
		if not, isDNS := errors.AsType[*net.DNSError](err); isDNS && not.IsNotFound {
			return o.unlessConnect(wrong("dns", "%s has no address: make its DNS record%s", domain, pointTo(f.Addresses)))
		}
		return unknown("dns", "the address of %s cannot be looked up here: %v", domain, err)
	}
	switch {
	case f.AddressesErr != nil:
		return unknown("dns", "%s has the address %s; where it must lead is not known: %v", domain, strings.Join(has, ", "), f.AddressesErr)
	case len(f.Addresses) == 0:
		return ok("dns", "%s has the address %s; the cluster does not say where it must lead", domain, strings.Join(has, ", "))
	}
	wanted := o.resolve(ctx, f.Addresses)
	if slices.ContainsFunc(has, func(address string) bool { return slices.Contains(wanted, address) }) {
		return ok("dns", "%s leads to the Ingress (%s)", domain, strings.Join(f.Addresses, ", "))
	}
	if !slices.ContainsFunc(wanted, public) {
		return unknown("dns", "%s has the address %s, the Ingress %s, which is a private one: something in between must lead from one to the other", domain,
			strings.Join(has, ", "), strings.Join(f.Addresses, ", "))
	}
	return o.unlessConnect(wrong("dns", "%s has the address %s, the Ingress another one: point its DNS record%s, unless a proxy of yours is in between", domain,
		strings.Join(has, ", "), pointTo(f.Addresses)))
}

// unlessConnect is a finding about the domain's address, which all else stands on unless another one is connected to.
func (o Outside) unlessConnect(f Finding) Finding {
	if o.Connect != "" {
		return f
	}
	return blocking(f)
}

func pointTo(addresses []string) string {
	if len(addresses) == 0 {
		return ""
	}
	return " to " + strings.Join(addresses, ", ")
}

// resolve gives the addresses of host names.
func (o Outside) resolve(ctx context.Context, names []string) []string {
	var all []string
	for _, name := range names {
		if _, err := netip.ParseAddr(name); err == nil {
			all = append(all, name)
			continue
		}
		found, err := o.LookupHost(ctx, name)
		if err == nil {
			all = append(all, found...)
		}
	}
	return all
}

func public(text string) bool {
	address, err := netip.ParseAddr(text)
	return err == nil && address.IsGlobalUnicast() && !address.IsPrivate()
}

func (o Outside) address(bot *v1alpha1.WechatBot) string {
	if o.Connect != "" {
		return o.Connect
	}
	return net.JoinHostPort(bot.Spec.Domain, "443")
}

// certificate looks at what the domain shows, as WeChat would judge it.
func (o Outside) certificate(ctx context.Context, f *inspect.Facts) Finding {
	ctx, cancel := context.WithTimeout(ctx, outsideTime)
	defer cancel()
	domain, at := f.Bot.Spec.Domain, o.address(f.Bot)
	conn, err := o.Dial(ctx, "tcp", at)
	if err != nil {
		return blocking(wrong("tls", "no connection to %s: %v. WeChat needs port 443 open to the internet", at, reason(err)))
	}
	defer func() { _ = conn.Close() }() // nothing is written
	// What is shown is judged below, in words that say what to do.
	secured := tls.Client(conn, &tls.Config{ServerName: domain, MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}) //nolint:gosec // as said
	if err := secured.HandshakeContext(ctx); err != nil {
		return blocking(wrong("tls", "%s does not speak TLS 1.2 or newer: %v", at, reason(err)))
	}
	return o.judge(domain, secured.ConnectionState().PeerCertificates)
}

func (o Outside) judge(domain string, chain []*x509.Certificate) Finding {
	leaf, now := chain[0], o.Now()
	options := x509.VerifyOptions{DNSName: domain, Roots: o.Roots, Intermediates: x509.NewCertPool(), CurrentTime: now}
	for _, c := range chain[1:] {
		options.Intermediates.AddCert(c)
	}
	_, err := leaf.Verify(options)
	if err == nil {
		left := leaf.NotAfter.Sub(now)
		if left < soon {
			return ok("tls", "the certificate is trusted, with its whole chain; it ends in %d days: see that it is renewed", int(left.Hours()/24))
		}
		return ok("tls", "the certificate is trusted, with its whole chain, until %s", leaf.NotAfter.Format(time.DateOnly))
	}
	if _, not := errors.AsType[x509.HostnameError](err); not {
		return wrong("tls", "the certificate is for %s, not for %s: see spec.ingress.tls, and that no other Ingress has the domain", names(leaf), domain)
	}
	if invalid, is := errors.AsType[x509.CertificateInvalidError](err); is && invalid.Reason == x509.Expired {
		return wrong("tls", "a certificate of the chain is out of date (the domain's ends %s): renew it", leaf.NotAfter.Format(time.DateOnly))
	}
	if _, is := errors.AsType[x509.UnknownAuthorityError](err); is {
		last := chain[len(chain)-1]
		if slices.Equal(leaf.RawIssuer, leaf.RawSubject) {
			return wrong("tls", "the certificate is self-signed (perhaps the ingress controller's default one): WeChat takes those of public authorities only; see "+
				"spec.ingress.tls")
		}
		if !slices.Equal(last.RawIssuer, last.RawSubject) {
			return wrong("tls", "the chain is not complete, or ends in an authority that is not trusted: after %d certificate(s) that of %q is missing. Put the whole "+
				"chain (fullchain.pem) into the Secret", len(chain), last.Issuer.String())
		}
		return wrong("tls", "the certificate is of the authority %q, which is not a public one: WeChat does not trust it", last.Subject.String())
	}
	return wrong("tls", "the certificate is not trusted: %v", err)
}

func names(leaf *x509.Certificate) string {
	if len(leaf.DNSNames) > 0 {
		return strings.Join(leaf.DNSNames[:min(len(leaf.DNSNames), 5)], ", ")
	}
	return strconv.Quote(leaf.Subject.CommonName)
}

// verification asks as WeChat's console does when the URL is saved: what is signed with the Token is answered with the echo,
// and nothing else is.
func (o Outside) verification(ctx context.Context, f *inspect.Facts) Finding {
	ctx, cancel := context.WithTimeout(ctx, outsideTime)
	defer cancel()
	at := desired.URL(f.Bot)
	query, echo := o.question(f.Token)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at+"?"+query, http.NoBody)
	if err != nil {
		return wrong("url", "%s is no URL: %v", at, err)
	}
	client := &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return o.Dial(ctx, network, o.address(f.Bot))
			},
			// The certificate is another finding's.
			TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}, //nolint:gosec // as said
			DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	began := o.Now()
	response, err := client.Do(request)
	if err != nil {
		return wrong("url", "%s gives no answer: %v. WeChat waits five seconds", at, reason(err))
	}
	defer func() { _ = response.Body.Close() }() // nothing is written
	body, err := io.ReadAll(io.LimitReader(response.Body, echoLimit))
	if err != nil {
		return wrong("url", "the answer of %s breaks off: %v", at, reason(err))
	}
	return answered(f, at, response, string(body), echo, o.Now().Sub(began))
}

// question is the query of the console's check; without a Token one that is refused.
func (o Outside) question(token string) (query, echo string) {
	nonce, echo := rand.Text()[:10], rand.Text()
	timestamp := strconv.FormatInt(o.Now().Unix(), 10)
	values := url.Values{"timestamp": {timestamp}, "nonce": {nonce}, "echostr": {echo}}
	if token != "" {
		values.Set("signature", wechat.Sign(token, timestamp, nonce))
	}
	return values.Encode(), echo
}

func answered(f *inspect.Facts, at string, response *http.Response, body, echo string, took time.Duration) Finding {
	code := response.StatusCode
	switch {
	case code >= 300 && code < 400:
		return wrong("url", "%s redirects to %q: WeChat follows no redirect. Take the redirect out of the ingress controller or the proxy", at, response.Header.Get("Location"))
	case code == http.StatusNotFound:
		return wrong("url", "%s is not found: something else answers at the domain, or the path is another one; see what routes it to Service %s", at, f.Bot.Name)
	case code >= 500:
		found := wrong("url", "%s answers %s: whatever is before the webhook servers does not reach them (Service %s, port 80)", at, response.Status, f.Bot.Name)
		found.needsPods = true
		return found
	case f.Token == "" && code == http.StatusForbidden:
		return unknown("url", "%s refuses what is not signed, as it should; whether it takes the Token is not known: %v", at, f.TokenErr)
	case f.Token == "":
		return wrong("url", "%s answers %s to what is not signed: something else answers at the URL", at, response.Status)
	case code == http.StatusForbidden || code == http.StatusUnauthorized:
		return wrong("url", "%s refuses what is signed with the Token of the Secret: another server answers, it has not read a changed Secret yet (two minutes), "+
			"or this machine's clock is off by ten minutes", at)
	case body == echo && took > slow:
		return ok("url", "%s answers WeChat's check, but took %s of the five seconds that WeChat waits", at, took.Round(100*time.Millisecond))
	case body == echo:
		return ok("url", "%s answers WeChat's check, in %s", at, took.Round(time.Millisecond))
	case strings.Contains(body, echo):
		return wrong("url", "%s answers WeChat's check with more than the echo: a proxy or middleware adds to the answer, WeChat wants it exactly", at)
	default:
		return wrong("url", "%s answers %s, but not as a webhook server does: something else answers at the URL", at, response.Status)
	}
}

// reason is an error without the request's address, which has a signature in it.
func reason(err error) error {
	if at, is := errors.AsType[*url.Error](err); is {
		err = at.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("none in %s", outsideTime)
	}
	return err
}
