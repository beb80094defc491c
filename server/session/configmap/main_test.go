package configmap

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"testing"

	"go.uber.org/goleak"
	"k8s.io/client-go/rest"

	"github.com/wechatbot/wechatbot-operator/test/envtest"
)

// plane is a real API server, and admin speaks to it as an administrator.
var (
	plane *envtest.ControlPlane
	admin *http.Client
)

func TestMain(m *testing.M) {
	flag.Parse()
	// Each of rapid's checks opens stores and lets half an hour pass: under the race detector a hundred are too many.
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		if err := checks.Value.Set("30"); err != nil {
			panic(err) // it is a number
		}
	}
	// Cases wait for the API server and the clock most of the time. More of them at once keep an API server on two busy
	// processors from answering within the store's patience.
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err) // it is a number
	}
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if plane, err = envtest.Start(); err != nil {
		return 1, err
	}
	if admin, err = rest.HTTPClientFor(plane.Config); err != nil {
		return 1, err
	}
	// What runs already, and the connections of client-go, are the control plane's.
	ours := []goleak.Option{
		goleak.IgnoreCurrent(), goleak.IgnoreAnyFunction("golang.org/x/net/http2.(*clientConnReadLoop).run"),
	}
	code = m.Run()
	admin.CloseIdleConnections()
	if code == 0 {
		err = goleak.Find(ours...)
	}
	if stopped := plane.Stop(); stopped != nil {
		return 1, stopped
	}
	return code, err
}
