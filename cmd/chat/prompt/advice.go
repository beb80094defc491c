package prompt

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// explain says of a URL that WeChat's console would refuse what was wrong and what to do.
func explain(err error, o Options) error {
	v, ok := wechatsim.AsVerifyError(err)
	if !ok {
		return err
	}
	return fmt.Errorf("%w\n%s", err, advice(v, o))
}

func advice(v *wechatsim.VerifyError, o Options) string {
	switch v.Verdict {
	case wechatsim.Refused:
		return "Nothing listens there. Is the server running, and is this its port? In a cluster: kubectl port-forward service/BOT 8080:80"
	case wechatsim.Unresolved:
		return "The host name has no address. Check --url for a typing error, and the DNS record. Without one: --connect ADDRESS:443"
	case wechatsim.Timeout:
		return fmt.Sprintf("There was no answer within %s. A firewall on the way, or a port that something else holds?", o.Timeout)
	case wechatsim.TLSFailed:
		return tlsAdvice(v)
	case wechatsim.Broken:
		return "The connection ended without an answer: a proxy without a backend, or not an HTTP port."
	case wechatsim.WrongEcho:
		if v.Surrounded {
			return "The echo is there but not alone: a proxy or middleware adds quotes, a byte order mark or a line end. WeChat wants it exactly."
		}
		return "Something other than the bot answers at this URL. Check its path, and what the proxy in front sends it to."
	default:
		return statusAdvice(v, o)
	}
}

func tlsAdvice(v *wechatsim.VerifyError) string {
	if record, ok := errors.AsType[tls.RecordHeaderError](v.Err); ok && string(record.RecordHeader[:]) == "HTTP/" {
		return "The server speaks plain HTTP there: use http:// in --url."
	}
	return "The certificate is not trusted here. WeChat takes only certificates of public authorities, with the whole chain. " +
		"For a private authority, name its certificate in SSL_CERT_FILE."
}

func statusAdvice(v *wechatsim.VerifyError, o Options) string {
	switch {
	case v.Status == http.StatusUnauthorized || v.Status == http.StatusForbidden:
		return "The signature was refused: the token is not the one the bot has, or the two clocks are more than 10 minutes apart."
	case v.Status == http.StatusNotFound:
		return "Nothing is served at this path. Check the path in --url against the bot's."
	case v.Status >= 300 && v.Status < 400:
		return "WeChat follows no redirect. Give the URL that it leads to."
	case v.Status == http.StatusBadRequest && strings.HasPrefix(o.Account.URL, "http:"):
		return "Perhaps the server speaks TLS there: try https:// in --url."
	case v.Status >= 500:
		return "The server, or the proxy in front of it, is in trouble: its log says more."
	default:
		return "WeChat would refuse this URL."
	}
}

// refusal says of an exchange whose deliveries the bot has refused what to do: the verified URL has shown that the token is
// right. Empty if none was refused.
func refusal(x *wechatsim.Exchange, secure bool) string {
	if !slices.ContainsFunc(x.Deliveries, func(d wechatsim.Delivery) bool { return d.Status == http.StatusForbidden }) {
		return ""
	}
	if secure {
		return "The bot refuses the push, and its token is right: --aes-key or --app-id is not the bot's. Its log says which."
	}
	return "The bot refuses the push, and its token is right: it takes encrypted pushes only. Set --aes-key and --app-id."
}
