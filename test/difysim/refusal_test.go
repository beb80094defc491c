package difysim

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestRefusalsAreTheRecordedOnes(t *testing.T) {
	old, flow := Options{Release: V0_6_5}, Options{Mode: Chatflow}
	chat, plain := "POST /v1/chat-messages", "application/json"
	stop := "POST /v1/chat-messages/6a3f0c52-57a6-4d5f-9a41-2f2b8a4f2a11/stop"
	unknown := `{"inputs":{},"query":"你好","user":"u","conversation_id":"6a3f0c52-57a6-4d5f-9a41-2f2b8a4f2a11"}`
	for name, tc := range map[string]struct {
		options Options
		route   string
		auth    string
		media   string
		body    string
		want    string // a recorded file, or text
	}{
		"no key":                {Options{}, chat, "", plain, question("q"), "errors/unauthorized-missing-header.401.json"},
		"no scheme":             {Options{}, chat, "app-x", plain, question("q"), "errors/unauthorized-missing-header.401.json"},
		"another scheme":        {Options{}, chat, "Basic app-x", plain, question("q"), "errors/unauthorized-bad-scheme.401.json"},
		"a dataset's key":       {Options{}, chat, "Bearer dataset-x", plain, question("q"), "errors/unauthorized-bad-key.401.json"},
		"another key":           {Options{Key: "app-1"}, chat, "bearer app-2", plain, question("q"), "errors/unauthorized-bad-key.401.json"},
		"no user":               {Options{}, chat, "Bearer app-x", plain, `{"query":"q","inputs":{}}`, "errors/invalid_param-user-missing.400.json"},
		"user zero":             {Options{}, chat, "Bearer app-x", plain, `{"query":"q","inputs":{},"user":0}`, "errors/invalid_param-user-missing.400.json"},
		"long user":             {Options{}, chat, "Bearer app-x", plain, `{"query":"q","inputs":{},"user":"` + strings.Repeat("长", 256) + `"}`, "errors/unknown.500.json"},
		"array":                 {Options{}, chat, "Bearer app-x", plain, `[]`, "errors/unknown.500.json"},
		"array, old":            {old, chat, "Bearer app-x", plain, `[]`, `500 {"message": "Internal Server Error", "code": "unknown"}` + "\n"},
		"broken JSON":           {Options{}, chat, "Bearer app-x", plain, `{"query":`, "errors/bad_request-json.400.json"},
		"two values":            {Options{}, chat, "Bearer app-x", plain, `{} {}`, "errors/bad_request-json.400.json"},
		"a form":                {Options{}, chat, "Bearer app-x", "text/plain", question("q"), "errors/unsupported_media_type.415.json"},
		"a form, old":           {old, chat, "Bearer app-x", "text/plain", question("q"), "errors/bad_request-json.400.json"},
		"huge":                  {Options{}, chat, "Bearer app-x", plain, question(strings.Repeat("长", maxBody/3)), "errors/nginx-entity-too-large.413.html"},
		"no query":              {Options{}, chat, "Bearer app-x", plain, `{"inputs": {}, "user": "u"}`, "errors/invalid_param-query-missing.new.400.json"},
		"no query, old":         {old, chat, "Bearer app-x", plain, `{"inputs": {}, "user": "u"}`, "errors/invalid_param-query-missing.old-no-status-field.400.json"},
		"no inputs, old":        {old, chat, "Bearer app-x", plain, `{"query":"q","user":"u"}`, `400 {"code": "invalid_param", "message": "Missing required parameter in the JSON body", "params": "inputs"}` + "\n"},
		"bad mode, old":         {old, chat, "Bearer app-x", plain, `{"query":"q","user":"u","inputs":{},"response_mode":"x"}`, `400 {"code": "invalid_param", "message": "x is not a valid choice", "params": "response_mode"}` + "\n"},
		"empty query":           {Options{}, chat, "Bearer app-x", plain, question(""), "errors/invalid_param-query-empty.400.json"},
		"bad conversation":      {Options{}, chat, "Bearer app-x", plain, `{"query":"q","user":"u","inputs":{},"conversation_id":"abc"}`, "errors/invalid_param-conversation_id.new.400.json"},
		"bad conversation,old":  {old, chat, "Bearer app-x", plain, `{"query":"q","user":"u","inputs":{},"conversation_id":"abc"}`, "errors/invalid_param-conversation_id.old.400.json"},
		"agent blocking":        {Options{Mode: Agent}, chat, "Bearer app-x", plain, `{"query":"q","user":"u","inputs":{}}`, "errors/invalid_param-agent-blocking.400.json"},
		"no conversation":       {Options{}, chat, "Bearer app-x", plain, unknown, "errors/not_found-conversation.new-with-uri-hint.404.json"},
		"no conversation, old":  {old, chat, "Bearer app-x", plain, unknown, "errors/not_found-conversation.old.404.json"},
		"flow, blocking":        {flow, chat, "Bearer app-x", plain, unknown, "errors/not_found-conversation.new-with-uri-hint.404.json"},
		"stop, no user":         {Options{}, stop, "Bearer app-x", plain, `{}`, "responses/1.13.3/stop-nouser.400.json"},
		"stop, unknown":         {Options{}, stop, "Bearer app-x", plain, `{"user":"u"}`, "responses/1.13.3/stop-unknown.200.json"},
		"completion":            {Options{}, "POST /v1/completion-messages", "Bearer app-x", plain, "{}", "errors/app_unavailable.400.json"},
		"workflow":              {Options{}, "POST /v1/workflows/run", "Bearer app-x", plain, "{}", "errors/not_workflow_app.400.json"},
		"no such route":         {Options{}, "GET /v1/nothing", "Bearer app-x", "", "", "errors/html-unknown-route.404.html"},
		"no such method":        {Options{}, "GET /v1/chat-messages", "Bearer app-x", "", "", "errors/method_not_allowed.405.json"},
		"delete, no body":       {Options{}, "DELETE /v1/conversations/x", "Bearer app-x", "", "", "responses/1.13.3/delete-nobody.415.json"},
		"delete, unknown":       {Options{}, "DELETE /v1/conversations/x", "Bearer app-x", plain, `{"user":"u"}`, "responses/1.13.3/delete-again.404.json"},
		"messages, unknown":     {Options{}, "GET /v1/messages?conversation_id=6a3f0c52-57a6-4d5f-9a41-2f2b8a4f2a11&user=u", "Bearer app-x", "", "", "responses/1.13.3/messages-other-user.404.json"},
		"messages, unknown,old": {old, "GET /v1/messages?conversation_id=6a3f0c52-57a6-4d5f-9a41-2f2b8a4f2a11&user=u", "Bearer app-x", "", "", "responses/0.6.5/messages-other-user.404.json"},
		"list after unknown":    {Options{}, "GET /v1/conversations?user=u&last_id=x", "Bearer app-x", "", "", "responses/1.13.3/conv-list-bad-last.404.json"},
		"bad rating":            {Options{}, "POST /v1/messages/x/feedbacks", "Bearer app-x", plain, `{"rating":"meh","user":"u"}`, "responses/1.13.3/feedback-bad.400.json"},
		"bad rating, old":       {old, "POST /v1/messages/x/feedbacks", "Bearer app-x", plain, `{"rating":"meh","user":"u"}`, "responses/0.6.5/feedback-bad.400.json"},
		"rating nothing":        {Options{}, "POST /v1/messages/x/feedbacks", "Bearer app-x", plain, `{"rating":"like","user":"u"}`, "responses/1.13.3/feedback-404.404.json"},
		"suggested, unknown":    {Options{}, "GET /v1/messages/x/suggested", "Bearer app-x", "", "", "responses/1.13.3/feedback-404.404.json"},
		"site, old":             {old, "GET /v1/site", "Bearer app-x", "", "", "responses/0.6.5/site.404.json"},
		"root":                  {Options{}, "GET /v1/", "", "", "", "errors/html-unknown-route.404.html"},
		"root, old":             {old, "GET /v1/", "", "", "", `200 {"welcome": "Dify OpenAPI", "api_version": "v1", "server_version": "0.6.5"}` + "\n"},
		"limit":                 {old, "GET /v1/conversations?user=u&limit=101", "Bearer app-x", "", "", `400 {"code": "invalid_param", "message": "101 is not in range 1 - 100", "params": "limit"}` + "\n"},
		"speech":                {Options{}, "POST /v1/audio-to-text", "Bearer app-x", "", "", "errors/invalid_param-stt-disabled.400.json"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, tc.options)
			method, path, _ := strings.Cut(tc.route, " ")
			request := c.request(t.Context(), method, path, tc.body)
			request.Header.Set("Authorization", tc.auth)
			request.Header.Set("Content-Type", tc.media)
			for header, value := range map[string]string{"Authorization": tc.auth, "Content-Type": tc.media} {
				if value == "" {
					request.Header.Del(header)
				}
			}
			status, body := c.read(request)
			want := []byte(tc.want)
			if strings.HasPrefix(tc.want, "errors/") || strings.HasPrefix(tc.want, "responses/") {
				parts := strings.Split(tc.want, ".")
				want = append([]byte(parts[len(parts)-2]+" "), recordedBytes(t, tc.want)...)
			}
			if got := append([]byte(http.StatusText(status)), body...); !bytes.Equal(got, statusText(want)) {
				t.Errorf("got  %d %s\nwant %s", status, body, want)
			}
		})
	}
}

// statusText replaces the number that begins an expectation, so that a wrong status shows.
func statusText(want []byte) []byte {
	number, body, _ := bytes.Cut(want, []byte(" "))
	status := 0
	for _, digit := range number {
		status = 10*status + int(digit-'0')
	}
	return append([]byte(http.StatusText(status)), body...)
}

func TestValidationNamesAllBadFields(t *testing.T) {
	c := newClient(t, Options{})
	status, body := c.do("POST", "/v1/chat-messages",
		`{"query":5,"user":"u","response_mode":"slow","files":[{"long":["`+strings.Repeat("x", 80)+`",null,true,false,1.5]}]}`)
	for _, want := range []string{
		`"3 validation errors for ChatRequestPayload\ninputs\n  Field required [type=missing, input_value={'query': 5, 'user': 'u',...ne, True, False, 1.5]}]}, input_type=dict]`,
		`\nquery\n  Input should be a valid string [type=string_type, input_value=5, input_type=int]`,
		`\nresponse_mode\n  Input should be 'blocking' or 'streaming' [type=literal_error, input_value='slow', input_type=str]`,
	} {
		if status != 400 || !bytes.Contains(body, []byte(want)) {
			t.Errorf("%d %s\nlacks %s", status, body, want)
		}
	}
	for value, want := range map[string]string{
		"null": "None, input_type=NoneType", `[1]`: "[1], input_type=list", "true": "True, input_type=bool",
		"1.5": "1.5, input_type=float", `"it's"`: `'it\\'s', input_type=str`,
	} {
		_, body := c.do("POST", "/v1/chat-messages", `{"query":"q","user":"u","inputs":`+value+`}`)
		if !bytes.Contains(body, []byte("input_value="+want)) {
			t.Errorf("inputs %s: %s", value, body)
		}
	}
}

func TestRelayIsSilentAboutWhatItCannotStart(t *testing.T) {
	for name, body := range map[string]string{
		"unknown conversation": question("q", member{"conversation_id", newID()}),
		"empty query":          question(""),
	} {
		bubble(t, func(t *testing.T) {
			c := newClient(t, Options{Mode: Chatflow})
			start := time.Now()
			status, got := c.do("POST", "/v1/chat-messages", body)
			want := recordedBytes(t, "sse/chatflow-hang-only-ping.1.13.3.sse")
			if status != 200 || !bytes.Equal(got, want) || since(start) != relaySilence {
				t.Errorf("%s: %d %q after %v", name, status, got, since(start))
			}
			if call := c.server.Calls()[0]; call.Outcome != Failed || call.Conversation != "" {
				t.Errorf("%s: %+v", name, call)
			}
		})
	}
}

func TestVersion_OfEveryResponse(t *testing.T) {
	c := newClient(t, Options{Release: V1_12_1, Behaviour: Behaviour{Fault: Fault{Kind: HTTPError, Name: "nginx-bad-gateway.502"}}})
	for path, want := range map[string]string{"/v1/info": "1.12.1", "/v1/nothing": "1.12.1", "/v1/chat-messages": ""} {
		method, body := "GET", ""
		if path == "/v1/chat-messages" {
			method, body = "POST", question("q")
		}
		response, err := c.http.Do(c.request(t.Context(), method, path, body))
		if err != nil {
			t.Fatal(err)
		}
		if got := response.Header.Get("X-Version"); got != want {
			t.Errorf("%s: X-Version %q, want %q", path, got, want)
		}
		_ = response.Body.Close()
	}
	request := c.request(t.Context(), "GET", "/v1/info", "")
	request.Header.Set("Authorization", "Bearer x")
	response, err := c.http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer closeBody(t, response)
	if response.Header.Get("X-Version") == "" || response.Header.Get("WWW-Authenticate") != `Bearer realm="api"` {
		t.Errorf("401 with %v", response.Header)
	}
}

func TestFullAppRefuses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newClient(t, Options{MaxActiveRequests: 1, Behaviour: Behaviour{Total: time.Second}})
		first := c.open(t.Context(), "一")
		status, body := c.do("POST", "/v1/chat-messages", question("二"))
		recorded := recordedBytes(t, "errors/invalid_param-TOO-MANY-REQUESTS.real.400.json")
		want := bytes.ReplaceAll(recorded, []byte("88c39da3-ad76-4a8e-a281-2221cfcd3ad2"), []byte(c.server.app))
		if status != 400 || !bytes.Equal(body, want) {
			t.Errorf("%d %s, want %s", status, body, want)
		}
		first.all()
		c.ask("三")
		if got := c.server.CallsFor("二"); len(got) != 1 || got[0].Outcome != Refused || got[0].Status != 400 {
			t.Errorf("call %+v", got)
		}
	})
}
