package observe

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/server/dify"
)

// Dify is what is known of a bot's app.
type Dify struct {
	// Off: the operator asks no Dify. Then the rest is empty.
	Off bool
	// Asked: there is an answer, or a failure, for this address, key and authority. Otherwise the rest but Changed and
	// Pending is empty.
	Asked bool
	// Changed: the address, the key or the authority is another than before, and has not been answered well yet.
	Changed bool
	// Confirmed: this address, key and authority were answered well once, whatever the latest answer is.
	Confirmed bool
	// Pending is since when a first answer has been awaited; zero if none is.
	Pending time.Time
	// App is what it says of itself.
	App v1alpha1.DifyStatus
	// Missing are variables that the app requires and the bot does not set.
	Missing []string
	// Err is why there is no answer; *dify.Error if it came of a call.
	Err error
}

// usable reports whether the app can be talked to.
func (d *Dify) usable() bool { return d.Err == nil && Chats(d.App.Mode) && len(d.Missing) == 0 }

// kind returns the kind of a failed call; empty if there was none.
func (d *Dify) kind() dify.Kind {
	if e, ok := errors.AsType[*dify.Error](d.Err); ok {
		return e.Kind
	}
	return ""
}

// mayPass reports whether a failure is of the kind that starting processes and proxies cause for a moment. One that took
// ten seconds is not.
func (d *Dify) mayPass() bool {
	switch d.kind() {
	case dify.NoSuchHost, dify.ConnectionRefused, dify.Unreachable, dify.Server, dify.Interrupted, dify.RateLimited:
		return true
	default:
		return false
	}
}

// ofHost reports whether every app at the same address would fail likewise.
func (d *Dify) ofHost() bool {
	switch d.kind() {
	case dify.NoSuchHost, dify.ConnectionRefused, dify.ConnectTimeout, dify.Unreachable, dify.FirstEventTimeout:
		return true
	default:
		return false
	}
}

// difyTimeout limits connecting, and each of the two calls of a probe.
const difyTimeout = 10 * time.Second

// ask asks an app what it is and what it requires. A transport of nil is one that trusts the system and ca.
func ask(ctx context.Context, baseURL string, key serverconfig.Secret, ca []byte, transport http.RoundTripper) (d Dify, required []string) {
	d.Asked = true
	target := dify.Target{BaseURL: baseURL, Key: key.Reveal()}
	if len(ca) > 0 {
		if target.CA, d.Err = dify.CertPool(ca); d.Err != nil {
			return d, nil
		}
	}
	c, err := dify.New(target, dify.Options{
		Transport: transport, MaxConns: 1, ConnectTimeout: difyTimeout, FirstEventTimeout: difyTimeout, UserAgent: "wechatbot-operator",
	})
	if err != nil {
		d.Err = err
		return d, nil
	}
	defer c.CloseIdleConnections()
	if d.App, d.Err = info(ctx, c); d.Err != nil {
		return d, nil
	}
	parameters, err := c.Parameters(ctx)
	d.Err = err
	return d, parameters.Required()
}

// info reads what the app says of itself. Releases before about 1.4 do not say its mode, the oldest nothing at all.
func info(ctx context.Context, c *dify.Client) (v1alpha1.DifyStatus, error) {
	i, err := c.Info(ctx)
	if e, ok := errors.AsType[*dify.Error](err); ok && e.Kind == dify.NotFound {
		return v1alpha1.DifyStatus{}, nil
	}
	return v1alpha1.DifyStatus{AppName: i.Name, Mode: i.Mode, Version: i.Version}, err
}

// Chats tells whether an app of this mode can be talked to; an empty mode is that of a release that does not say.
func Chats(mode string) bool { return mode != "workflow" && mode != "completion" }

func missing(required []string, inputs map[string]v1alpha1.InputValue) []string {
	var names []string
	for _, name := range required {
		if _, set := inputs[name]; !set {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
