package wechatsim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const testSecret = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"

// caller calls the server API of a platform, in process.
type caller struct {
	*testing.T
	*Platform

	transport *InProcess
	token     string
}

// newCaller makes a platform whose account's server acknowledges every push, and a caller with a token.
func newCaller(t *testing.T, o Options) *caller {
	t.Helper()
	a := testAccount(Secure)
	a.AppSecret = testSecret
	p := simulate(t, a, o, newAccount(t, says(200, "success")))
	c := &caller{T: t, Platform: p, transport: HandlerTransport(p.API())}
	t.Cleanup(func() { c.transport.Wait(); p.Wait() })
	c.token = c.fetchToken()
	return c
}

func (c *caller) fetchToken() string {
	c.Helper()
	answer := c.post(TokenPath, `{"grant_type":"client_credential","appid":"`+testAppID+`","secret":"`+testSecret+`"}`)
	token, _ := answer["access_token"].(string)
	return token
}

// response is what a call was answered with.
type response struct {
	status int
	header http.Header
	body   string
}

// do makes a call.
func (c *caller) do(ctx context.Context, method, path, contentType, body string) (response, error) {
	c.Helper()
	sign := "?"
	if strings.Contains(path, "?") {
		sign = "&"
	}
	target := "https://api.example" + path
	if c.token != "" {
		target += sign + "access_token=" + c.token
	}
	r, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	if err != nil {
		c.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	answer, err := c.transport.RoundTrip(r)
	if err != nil {
		return response{}, err
	}
	defer func() { _ = answer.Body.Close() }()
	content, err := io.ReadAll(answer.Body)
	return response{answer.StatusCode, answer.Header, string(content)}, err
}

func (c *caller) json(method, path, body string) map[string]any {
	c.Helper()
	response, err := c.do(c.Context(), method, path, "application/json", body)
	var answer map[string]any
	if err == nil {
		err = json.Unmarshal([]byte(response.body), &answer)
	}
	if err != nil {
		c.Fatalf("%s: %v: %s", path, err, response.body)
	}
	return answer
}

func (c *caller) post(path, body string) map[string]any {
	c.Helper()
	return c.json(http.MethodPost, path, body)
}
func (c *caller) get(path string) map[string]any { c.Helper(); return c.json(http.MethodGet, path, "") }

// code gives an answer's errcode; 0 if it has none.
func code(answer map[string]any) int {
	n, _ := answer["errcode"].(float64)
	return int(n)
}

// text sends a text and gives the errcode.
func (c *caller) text(to, content string) int {
	c.Helper()
	return code(c.post(SendPath, fmt.Sprintf(`{"touser":%q,"msgtype":"text","text":{"content":%q},"aimsgcontext":{"is_ai_msg":1}}`, to, content)))
}

func (c *caller) typing(to string) int {
	c.Helper()
	return code(c.post(TypingPath, fmt.Sprintf(`{"touser":%q,"command":"Typing"}`, to)))
}

// upload uploads a file and gives the answer.
func (c *caller) upload(path, kind, name string, data []byte) map[string]any {
	c.Helper()
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, err := w.CreatePart(textproto.MIMEHeader{
		"Content-Disposition": {fmt.Sprintf(`form-data; name="media"; filename=%q`, name)}, "Content-Type": {"application/octet-stream"},
	})
	if err == nil {
		_, err = part.Write(data)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		c.Fatal(err)
	}
	response, err := c.do(c.Context(), http.MethodPost, path+"?type="+kind, w.FormDataContentType(), form.String())
	var answer map[string]any
	if err == nil {
		err = json.Unmarshal([]byte(response.body), &answer)
	}
	if err != nil {
		c.Fatal(err)
	}
	return answer
}

// violations reads the violations, and fails if others than these were counted.
func (c *caller) violations(want map[Violation]int) {
	c.Helper()
	if want == nil {
		want = map[Violation]int{}
	}
	if d := cmp.Diff(want, c.Violations()); d != "" {
		c.Errorf("violations (-want +got):\n%s", d)
	}
}

// must gives an exchange that could be made.
func must(x *Exchange, err error) *Exchange {
	if err != nil {
		panic(err)
	}
	return x
}

var gif = []byte("GIF89a\x01\x00\x01\x00")
