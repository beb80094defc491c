package dify_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/wechatbot/wechatbot-operator/server/dify"
)

// providerError is a row of testdata/dify/providers.json.
type providerError struct {
	Provider, Message string
	Kind              dify.Kind
}

func providerErrors(t testing.TB) (rows []providerError) {
	t.Helper()
	if err := json.Unmarshal(fixture(t, "providers.json"), &rows); err != nil {
		t.Fatal(err)
	}
	return rows
}

func quote(t testing.TB, s string) string {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A provider's error comes in many ways; its kind is the same in all of them.
func TestProvidersErrorsHaveTheirKinds(t *testing.T) {
	for _, row := range providerErrors(t) {
		said := quote(t, row.Message)
		runFailed := quote(t, "Run failed: "+row.Message)
		for how, in := range map[string]string{
			"error event":            ev("error", `,"code":"completion_request_error","status":400,"message":`+said),
			"a worker's error":       `data: {"event":"error","status":500,"message":` + said + "}\n\n",
			"an agent's rate limit":  ev("error", `,"code":"rate_limit_error","status":429,"message":`+said),
			"a failed run":           ev("workflow_started", "") + ev("workflow_finished", `,"data":{"status":"failed","error":`+said+`}`),
			"a failed run, as error": ev("workflow_started", "") + ev("error", `,"code":"invalid_param","status":400,"message":`+runFailed),
		} {
			want := row.Kind
			if want == dify.ModelError {
				switch how {
				case "a worker's error":
					want = dify.Server
				case "an agent's rate limit":
					want = dify.QuotaExceeded
				case "a failed run", "a failed run, as error":
					want = dify.WorkflowFailed
				}
			}
			_, err := replay(t, strings.NewReader(in))
			got := dify.KindOf(err)
			ofRun := strings.HasPrefix(how, "a failed run")
			if ofRun && got == dify.WorkflowFailed && !strings.HasPrefix(row.Message, "[") { // a node's words that name no model
				continue
			}
			if got != want {
				t.Errorf("%s, %s: %s, want %s\n%s", row.Provider, how, got, want, row.Message)
			}
			if e, ok := errors.AsType[*dify.Error](err); ok && ofRun && e.MayRetry(0) {
				t.Errorf("%s, %s: a run is run again", row.Provider, how)
			}
			if strings.Contains(err.Error(), "model") {
				t.Errorf("%s, %s: %q quotes the provider", row.Provider, how, err)
			}
		}
		c := clientOf(t, func(*http.Request) (*http.Response, error) {
			return response(http.StatusBadRequest, "application/json", strings.NewReader(`{"code":"completion_request_error","status":400,"message":`+said+`}`)), nil
		})
		if _, err := c.Chat(t.Context(), ask(), nil); dify.KindOf(err) != row.Kind {
			t.Errorf("%s, as a response: %v, want %s", row.Provider, err, row.Kind)
		}
	}
}

// What another node than a model's says is the workflow's failure, whatever words are in it.
func TestOtherNodesFailuresAreTheWorkflows(t *testing.T) {
	for _, words := range []string{
		"Request to http://shop/api failed: timed out", "PermissionError: permission denied", "HTTP request failed with status 429 too many requests",
		"Code execution failed: list index out of range [0] timeout", "Variable #node.text# not found", "", "insufficient balance of the order",
	} {
		in := ev("workflow_started", "") + ev("workflow_finished", `,"data":{"status":"failed","error":`+quote(t, words)+`}`)
		if _, err := replay(t, strings.NewReader(in)); dify.KindOf(err) != dify.WorkflowFailed {
			t.Errorf("%q: %v", words, err)
		}
	}
}

func TestWhatAFollowerCanBeTold(t *testing.T) {
	for kind, want := range map[dify.Kind]struct {
		class    dify.Class
		askAgain bool
	}{
		dify.Redirected: {dify.Misconfigured, false}, dify.HTMLResponse: {dify.Misconfigured, false}, dify.InputRefused: {dify.Misconfigured, false},
		dify.ContentFiltered: {dify.Filtered, false}, dify.ContextTooLong: {dify.TooLong, false}, dify.QuotaExceeded: {dify.OutOfQuota, false},
		dify.ModelBusy: {dify.Busy, true}, dify.RateLimited: {dify.Busy, true}, dify.Server: {dify.Busy, true}, dify.Suspended: {dify.Busy, true},
		dify.FirstEventTimeout: {dify.TimedOut, true}, dify.IdleTimeout: {dify.TimedOut, true}, dify.WorkflowFailed: {dify.Failed, true},
		dify.UnknownAuthority: {dify.Misconfigured, false}, dify.ConnectionRefused: {dify.Busy, true}, dify.Unauthorized: {dify.Misconfigured, false},
	} {
		e := &dify.Error{Kind: kind}
		if e.Class() != want.class || e.AskAgain() != want.askAgain || kind.Class() != want.class {
			t.Errorf("%s: class %d, ask again %t; want %+v", kind, e.Class(), e.AskAgain(), want)
		}
	}
	for _, kind := range dify.Kinds() {
		e := &dify.Error{Kind: kind}
		if e.Class() == dify.Misconfigured && (e.MayRetry(0) || e.AskAgain()) {
			t.Errorf("%s: nobody who asks again can set it right", kind)
		}
	}
}

func TestARefusedInputIsNamed(t *testing.T) {
	for message, want := range map[string]string{
		"city is required in input form":                               "city",
		"(type 'text-input') city in input form must be a string":      "city",
		"city in input form must be less than 48 characters":           "city",
		"city in input form must be one of the following: ['a', 'b']":  "city",
		"city_2 is required in input form You have requested this URI": "city_2",
		"城市 is required in input form":                                 "",
		"is required in input form":                                    "",
		"<script>alert(1)</script> is required in input form":          "",
		strings.Repeat("a", 99) + " is required in input form":         "",
	} {
		for how, in := range map[string]string{
			"a worker's error": `data: {"event":"error","status":500,"message":` + quote(t, message) + "}\n\n",
			"an error event":   ev("error", `,"code":"invalid_param","status":400,"message":`+quote(t, message)),
		} {
			_, err := replay(t, strings.NewReader(in))
			e, ok := errors.AsType[*dify.Error](err)
			if !ok || e.Kind != dify.InputRefused || e.Input != want || e.MayRetry(0) || strings.Contains(e.Error(), "input "+want) == (want == "") {
				t.Errorf("%s, %q: %v names %q", how, message, err, e.Input)
			}
		}
	}
}

// Every kind that is declared says what follows from it.
func TestEveryKindHasItsTraits(t *testing.T) {
	parsed, err := parser.ParseFile(token.NewFileSet(), "kind.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	declared := 0
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if typ, isName := specType(spec); !ok || !isName || typ != "Kind" {
			return true
		}
		declared++
		if !slices.Contains(dify.Kinds(), dify.Kind(spec.Names[0].Name)) {
			t.Errorf("%s has no traits, or is called otherwise", spec.Names[0].Name)
		}
		return true
	})
	if declared != len(dify.Kinds()) {
		t.Errorf("%d kinds are declared, %d have traits", declared, len(dify.Kinds()))
	}
}

func specType(spec *ast.ValueSpec) (string, bool) {
	if spec == nil {
		return "", false
	}
	name, ok := spec.Type.(*ast.Ident)
	if !ok {
		return "", false
	}
	return name.Name, true
}

func TestCodesAreBoundedAsLabels(t *testing.T) {
	for code, want := range map[string]string{"": "", "invalid_param": "invalid_param", "some_later_code": "other"} {
		if got := (&dify.Error{Code: code}).CodeLabel(); got != want {
			t.Errorf("%q: %q", code, got)
		}
	}
}
