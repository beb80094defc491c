package difysim

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestControlTakesOrdersFromLoopbackOnly(t *testing.T) {
	s := New(Options{})
	order := func(address, method, path, body string) (int, string) {
		request := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
		request.RemoteAddr = address
		w := httptest.NewRecorder()
		s.Control().ServeHTTP(w, request)
		return w.Code, w.Body.String()
	}
	const wire = `{"firstText":"1.5s","total":"4s","answer":"答","length":9,"think":"想","tool":"t","linger":"1s","fault":"cut-after:3","repeat":2,"fixture":"chat-simple.1.13.3"}`
	want := Behaviour{
		FirstText: 1500 * time.Millisecond, Total: 4 * time.Second, Answer: "答", Length: 9, Think: "想", Tool: "t",
		Linger: time.Second, Fault: Fault{Kind: CutAfter, Deltas: 3}, Repeat: 2, Fixture: "chat-simple.1.13.3",
	}
	for _, address := range []string{"10.1.2.3:80", "[2001:db8::1]:80", "@", "name:1"} {
		if status, _ := order(address, "POST", "/-/behaviour", wire); status != http.StatusForbidden {
			t.Errorf("from %s: %d", address, status)
		}
	}
	if status, got := order("[::1]:80", "POST", "/-/behaviour", wire); status != 200 || strings.TrimSpace(got) != wire {
		t.Errorf("ordering: %d %s", status, got)
	}
	if diff := cmp.Diff(want, s.Behaviour()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if _, got := order("127.0.0.1:80", "GET", "/-/behaviour", ""); strings.TrimSpace(got) != wire {
		t.Errorf("in force: %s", got)
	}
	for _, bad := range []string{
		`{`, `{"total":"soon"}`, `{"unknown":1}`, `{"fault":"x"}`, `{"total":"-1s"}`, `"` + strings.Repeat("x", maxControl) + `"`,
	} {
		if status, got := order("127.0.0.1:80", "POST", "/-/behaviour", bad); status != 400 {
			t.Errorf("%.40s: %d %s", bad, status, got)
		}
	}
	c := &client{t, s, &http.Client{Transport: s.Transport()}, "http://dify.test"}
	s.SetBehaviour(Behaviour{})
	c.ask("一")
	c.ask("二")
	for path, want := range map[string][]string{"/-/calls": {"一", "二"}, "/-/calls?query=二": {"二"}} {
		_, got := order("127.0.0.1:80", "GET", path, "")
		calls, err := ReadCalls([]byte(got))
		if err != nil || len(calls) != len(want) || !strings.Contains(got, `"total":2`) {
			t.Fatalf("%s: %v: %s", path, err, got)
		}
		for i, c := range calls {
			own := s.CallsFor(want[i])[0]
			if c.Query != want[i] || c.Outcome != Answered || c.From != own.From || !c.Ended.Equal(own.Ended) {
				t.Errorf("%s: call %+v, it was %+v", path, c, own)
			}
		}
	}
	if _, err := ReadCalls([]byte("<html>")); err == nil {
		t.Error("a page was read as calls")
	}
}
