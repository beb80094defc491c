package api

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/wechatbot/wechatbot-operator/testdata"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testAppID  = "wx0123456789abcdef"
	testSecret = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
	testOpenID = "oTk5q6WcY7bZr-0PqX2mN8sLdE4A"
	okAnswer   = `{"errcode":0,"errmsg":"ok"}`
)

// fixture reads a file below testdata/wechat/api.
func fixture(t testing.TB, name string) string {
	t.Helper()
	content, err := testdata.WeChat.ReadFile("wechat/api/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// fixtures gives the names of the files in a folder below testdata/wechat/api.
func fixtures(t testing.TB, folder string) []string {
	t.Helper()
	entries, err := testdata.WeChat.ReadDir("wechat/api/" + folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// sentCall is what a fake WeChat has been asked.
type sentCall struct {
	api    string
	method string
	query  url.Values
	body   string
	header http.Header
}

// script is how one call is answered.
type script struct {
	answer func(*http.Request) (*http.Response, error)
}

// fakeWeChat is a transport that answers calls in the test's words. What no script is for is answered with a token, or "ok".
type fakeWeChat struct {
	t testing.TB

	mu      sync.Mutex
	calls   []sentCall
	tokens  int
	scripts map[string][]script // by API; the last one stays
}

// on sets what calls of an API are answered with, one after another; the last answer stays.
func (f *fakeWeChat) on(api string, answers ...script) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.scripts[api] = answers
}

func (f *fakeWeChat) RoundTrip(r *http.Request) (*http.Response, error) {
	api := strings.TrimPrefix(r.URL.Path, "/proxied")
	f.mu.Lock()
	scripts := f.scripts[api]
	if len(scripts) > 1 {
		f.scripts[api] = scripts[1:]
	}
	f.mu.Unlock()
	if len(scripts) == 0 {
		return f.byDefault(api).answer(r)
	}
	return scripts[0].answer(r)
}

func (f *fakeWeChat) byDefault(api string) script {
	if api != tokenAPI {
		return f.says(okAnswer)
	}
	return script{func(r *http.Request) (*http.Response, error) {
		f.mu.Lock()
		f.tokens++
		n := f.tokens
		f.mu.Unlock()
		return f.says(`{"access_token":"token-` + strconv.Itoa(n) + `","expires_in":7200}`).answer(r)
	}}
}

// note reads the body and keeps the call.
func (f *fakeWeChat) note(r *http.Request) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			f.t.Errorf("reading a call's body: %v", err)
		}
		if int64(len(body)) != r.ContentLength {
			f.t.Errorf("%s: ContentLength %d, the body has %d bytes", r.URL.Path, r.ContentLength, len(body))
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, sentCall{strings.TrimPrefix(r.URL.Path, "/proxied"), r.Method, r.URL.Query(), string(body), r.Header})
}

// says answers with status 200.
func (f *fakeWeChat) says(body string) script {
	return f.answers(http.StatusOK, "application/json; encoding=utf-8", body)
}

func (f *fakeWeChat) answers(status int, contentType, body string) script {
	return script{func(r *http.Request) (*http.Response, error) {
		f.note(r)
		return &http.Response{
			StatusCode: status, Header: http.Header{"Content-Type": {contentType}},
			Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: r,
		}, nil
	}}
}

// breaks fails after the body was read; its error is what a transport would never say.
func (f *fakeWeChat) breaks(err error) script {
	return script{func(r *http.Request) (*http.Response, error) {
		f.note(r)
		return nil, err
	}}
}

// refuses fails before anything was sent.
func (f *fakeWeChat) refuses(err error) script {
	return script{func(r *http.Request) (*http.Response, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.calls = append(f.calls, sentCall{api: r.URL.Path})
		return nil, err
	}}
}

// cuts ends the connection in the middle of an answer.
func (f *fakeWeChat) cuts(start string) script {
	return script{func(r *http.Request) (*http.Response, error) {
		f.note(r)
		return &http.Response{
			StatusCode: http.StatusOK, Body: io.NopCloser(io.MultiReader(strings.NewReader(start), brokenReader{})), ContentLength: -1, Request: r,
		}, nil
	}}
}

// hangs answers when the call's context has ended.
func (f *fakeWeChat) hangs() script {
	return script{func(r *http.Request) (*http.Response, error) {
		f.note(r)
		<-r.Context().Done()
		return nil, r.Context().Err()
	}}
}

// brokenReader is a connection that broke.
type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// count gives how often an API was called.
func (f *fakeWeChat) count(api string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, c := range f.calls {
		if c.api == api {
			n++
		}
	}
	return n
}

// last gives the last call of an API.
func (f *fakeWeChat) last(api string) sentCall {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range slices.Backward(f.calls) {
		if c.api == api {
			return c
		}
	}
	f.t.Fatalf("%s was never called", path.Base(api))
	return sentCall{}
}

// newFake makes a client of a fake WeChat. The client is closed when the test ends.
func newFake(t testing.TB, o Options) (*Client, *fakeWeChat) {
	t.Helper()
	f := &fakeWeChat{t: t, scripts: map[string][]script{}}
	o.Transport = f
	if o.Credentials == nil {
		o.Credentials = func() (string, string) { return testAppID, testSecret }
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, f
}

// asError gives an error of this package, and fails without one.
func asError(t testing.TB, err error) *Error {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("error %v (%T), want an *Error", err, err)
	}
	return e
}

// within says whether a duration is in a range.
func within(d, least, most time.Duration) bool { return d >= least && d <= most }
