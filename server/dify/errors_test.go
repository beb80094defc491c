package dify_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/dify"
)

// judgement is what a body in testdata/dify/errors means.
type judgement struct {
	kind    dify.Kind
	code    string
	retries int
}

// How often asking again may help.
const (
	once = 1
	many = 100
)

// retriesOf counts how often an error may be retried.
func retriesOf(e *dify.Error) int {
	for n := range many {
		if !e.MayRetry(n) {
			return n
		}
	}
	return many
}

var errorBodies = map[string]judgement{
	"agent_not_published.400.json":                             {kind: dify.AppUnavailable, code: "agent_not_published"},
	"app_unavailable.400.json":                                 {kind: dify.AppUnavailable, code: "app_unavailable"},
	"audio_too_large.413.json":                                 {kind: dify.TooLarge, code: "audio_too_large"},
	"bad_request-agent-app-streaming-only.400.json":            {kind: dify.InvalidParam, code: "bad_request"},
	"bad_request-json.400.json":                                {kind: dify.InvalidParam, code: "bad_request"},
	"human_input_form_submitted.412.json":                      {kind: dify.FormAnswered, code: "human_input_form_submitted"},
	"human_input_form_expired.412.json":                        {kind: dify.FormExpired, code: "human_input_form_expired"},
	"not_found-form.404.json":                                  {kind: dify.FormExpired, code: "not_found"},
	"invalid_form_data.400.json":                               {kind: dify.InvalidParam, code: "invalid_form_data"},
	"bad_request-suggested-disabled.400.json":                  {kind: dify.InvalidParam, code: "bad_request"},
	"bad_request-workflow_id.400.json":                         {kind: dify.InvalidParam, code: "bad_request"},
	"bad_request_key_error-audio.400.json":                     {kind: dify.InvalidParam, code: "bad_request_key_error"},
	"cloudflare-rate-limited-1015.429.txt":                     {kind: dify.RateLimited, retries: many},
	"cloudflare-timeout.524.html":                              {kind: dify.Server, retries: once},
	"completion_request_error-upstream-401.400.json":           {kind: dify.ModelMisconfigured, code: "completion_request_error"},
	"completion_request_error.400.json":                        {kind: dify.ModelBusy, code: "completion_request_error", retries: many},
	"conversation_completed.400.json":                          {kind: dify.ConversationGone, code: "conversation_completed"},
	"field-error-no-code-1.8-to-1.10.400.json":                 {kind: dify.InvalidParam},
	"file_too_large.new-unformatted-message.413.json":          {kind: dify.TooLarge, code: "file_too_large"},
	"file_too_large.old.413.json":                              {kind: dify.TooLarge, code: "file_too_large"},
	"forbidden-api-disabled.403.json":                          {kind: dify.Forbidden, code: "forbidden"},
	"forbidden-app-gone.403.json":                              {kind: dify.Forbidden, code: "forbidden"},
	"forbidden-workspace-archived.403.json":                    {kind: dify.Forbidden, code: "forbidden"},
	"html-unknown-route.404.html":                              {kind: dify.NotFound},
	"internal_server_error.500.json":                           {kind: dify.Server, code: "internal_server_error", retries: many},
	"invalid_param-TOO-MANY-REQUESTS.real.400.json":            {kind: dify.RateLimited, code: "invalid_param", retries: many},
	"invalid_param-agent-blocking.400.json":                    {kind: dify.InvalidParam, code: "invalid_param"},
	"invalid_param-conversation_id.new.400.json":               {kind: dify.InvalidParam, code: "invalid_param"},
	"invalid_param-conversation_id.old.400.json":               {kind: dify.InvalidParam, code: "invalid_param"},
	"invalid_param-file-id.400.json":                           {kind: dify.InvalidParam, code: "invalid_param"},
	"invalid_param-file-validation.400.json":                   {kind: dify.InvalidParam, code: "invalid_param"},
	"invalid_param-query-empty.400.json":                       {kind: dify.InvalidParam, code: "invalid_param"},
	"invalid_param-query-missing.new.400.json":                 {kind: dify.InvalidParam, code: "invalid_param"},
	"invalid_param-query-missing.old-no-status-field.400.json": {kind: dify.InvalidParam, code: "invalid_param"},
	"invalid_param-required-input.400.json":                    {kind: dify.InputRefused, code: "invalid_param"},
	"invalid_param-run-failed.400.json":                        {kind: dify.ModelBusy, code: "invalid_param"},
	"invalid_param-stt-disabled.400.json":                      {kind: dify.InvalidParam, code: "invalid_param"},
	"invalid_param-tts-disabled.400.json":                      {kind: dify.InvalidParam, code: "invalid_param"},
	"invalid_param-user-missing.400.json":                      {kind: dify.InvalidParam, code: "invalid_param"},
	"invalid_param-workflow-not-published.400.json":            {kind: dify.AppUnavailable, code: "invalid_param"},
	"method_not_allowed.405.json":                              {kind: dify.NotFound, code: "method_not_allowed"},
	"model_currently_not_support.400.json":                     {kind: dify.ModelMisconfigured, code: "model_currently_not_support"},
	"nginx-bad-gateway.502.html":                               {kind: dify.Server, retries: once},
	"nginx-entity-too-large.413.html":                          {kind: dify.TooLarge},
	"nginx-gateway-timeout.504.html":                           {kind: dify.Server, retries: once},
	"no_audio_uploaded.400.json":                               {kind: dify.InvalidParam, code: "no_audio_uploaded"},
	"no_file_uploaded.400.json":                                {kind: dify.InvalidParam, code: "no_file_uploaded"},
	"not_chat_app.400.json":                                    {kind: dify.WrongAppMode, code: "not_chat_app"},
	"not_found-conversation.new-with-uri-hint.404.json":        {kind: dify.ConversationGone, code: "not_found"},
	"not_found-conversation.old.404.json":                      {kind: dify.ConversationGone, code: "not_found"},
	"not_workflow_app.400.json":                                {kind: dify.WrongAppMode, code: "not_workflow_app"},
	"provider_not_initialize-no-tts-model.400.json":            {kind: dify.ModelMisconfigured, code: "provider_not_initialize"},
	"provider_not_initialize.400.json":                         {kind: dify.ModelMisconfigured, code: "provider_not_initialize"},
	"provider_not_support_speech_to_text.400.json":             {kind: dify.ModelMisconfigured, code: "provider_not_support_speech_to_text"},
	"provider_quota_exceeded.400.json":                         {kind: dify.QuotaExceeded, code: "provider_quota_exceeded"},
	"rate_limit_error.429.json":                                {kind: dify.QuotaExceeded, code: "rate_limit_error"},
	"too_many_files.400.json":                                  {kind: dify.InvalidParam, code: "too_many_files"},
	"too_many_requests.documented.429.json":                    {kind: dify.RateLimited, code: "too_many_requests", retries: many},
	"unauthorized-bad-key.401.json":                            {kind: dify.Unauthorized, code: "unauthorized"},
	"unauthorized-bad-scheme.401.json":                         {kind: dify.Unauthorized, code: "unauthorized"},
	"unauthorized-missing-header.401.json":                     {kind: dify.Unauthorized, code: "unauthorized"},
	"unknown.500.json":                                         {kind: dify.Server, code: "unknown", retries: many},
	"unsupported_audio_type.415.json":                          {kind: dify.InvalidParam, code: "unsupported_audio_type"},
	"unsupported_file_type.415.json":                           {kind: dify.InvalidParam, code: "unsupported_file_type"},
	"unsupported_media_type.415.json":                          {kind: dify.InvalidParam, code: "unsupported_media_type"},
	"workflow_version_execution_not_allowed.403.json":          {kind: dify.Forbidden, code: "workflow_version_execution_not_allowed"},
}

func TestEveryErrorBodyHasItsKind(t *testing.T) {
	for _, name := range names(t, "errors") {
		want, ok := errorBodies[name]
		if !ok {
			t.Errorf("%s has no row in the table", name)
			continue
		}
		t.Run(name, func(t *testing.T) {
			c := newClient(t, serve(t, "errors/"+name), dify.Options{})
			answer, err := c.Chat(t.Context(), ask(), nil)
			e, ok := errors.AsType[*dify.Error](err)
			if !ok || answer.Text != "" {
				t.Fatalf("answer %+v, error %v", answer, err)
			}
			status, _ := statusOf(name)
			if e.Kind != want.kind || e.Code != want.code || e.Status != status || retriesOf(e) != want.retries {
				t.Errorf("kind %s, code %q, status %d, %d retries; want %+v", e.Kind, e.Code, e.Status, retriesOf(e), want)
			}
			if text := fmt.Sprintf("dify: chat: %s, status %d", want.kind, status); !strings.HasPrefix(e.Error(), text) {
				t.Errorf("text %q, want it to begin with %q", e.Error(), text)
			}
			if _, err := c.Info(t.Context()); dify.KindOf(err) != want.kind {
				t.Errorf("another call gives %v", err)
			}
		})
	}
}

func TestErrorsWithoutAFixture(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		kind   dify.Kind
	}{
		"a code of a later release":                  {400, `{"code":"speech_to_text_disabled","message":"x"}`, dify.InvalidParam},
		"a later release's code with a known status": {403, `{"code":"app_sleeps","message":"x"}`, dify.Forbidden},
		"another object that is gone":                {404, `{"code":"not_found","message":"Message Not Exists."}`, dify.NotFound},
		"a list's position that is gone":             {404, `{"code":"not_found","message":"Last Conversation Not Exists. You"}`, dify.NotFound},
		"a proxy's 400":                              {400, "<html><center>The plain HTTP request was sent to HTTPS port</center></html>", dify.TLSRequired},
		"JSON of something else":                     {400, `{"detail":"no"}`, dify.BadResponse},
		"a status without a body":                    {503, "", dify.Server},
		"teapot":                                     {418, "", dify.BadResponse},
		"a redirect without a place":                 {302, "", dify.Redirected},
		"members of other types":                     {401, `{"code":401,"message":{}}`, dify.Unauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			client := clientOf(t, func(*http.Request) (*http.Response, error) {
				return response(c.status, "application/json", strings.NewReader(c.body)), nil
			})
			if _, err := client.Chat(t.Context(), ask(), nil); dify.KindOf(err) != c.kind {
				t.Errorf("error %v, want kind %s", err, c.kind)
			}
		})
	}
}

func TestErrorTextsNeverTellSecrets(t *testing.T) {
	told := "用户的问题 " + secret + " " + user
	body := fmt.Sprintf(`{"code":"invalid_param %s","message":"%s %s","status":400}`, told, told, strings.Repeat("长", 999))
	stream := `data: {"event":"error","code":"` + told + `","status":400,"message":"` + told + `"}` + "\n\n"
	flow := ev("workflow_started", "") + ev("workflow_finished", `,"data":{"status":"failed","error":"`+told+`"}`)
	transports := map[string]roundTrip{
		"response": func(*http.Request) (*http.Response, error) {
			return response(http.StatusBadRequest, "application/json", strings.NewReader(body)), nil
		},
		"error event":     streaming(strings.NewReader(stream)),
		"failed workflow": streaming(strings.NewReader(flow)),
		"no connection": func(r *http.Request) (*http.Response, error) {
			return nil, errors.New("dial tcp: lookup " + r.URL.Hostname() + ": no such host")
		},
	}
	for name, transport := range transports {
		t.Run(name, func(t *testing.T) {
			c := clientOf(t, transport)
			_, chat := c.Chat(t.Context(), ask(), nil)
			_, messages := c.Messages(t.Context(), "c1", user, 1)
			_, suggested := c.Suggested(t.Context(), "m1", user)
			for _, err := range []error{chat, messages, suggested} {
				if err == nil {
					t.Fatal("no error")
				}
				for _, secret := range []string{secret, user, "问题", question, "长"} {
					if strings.Contains(err.Error(), secret) {
						t.Errorf("%q tells %q", err, secret)
					}
				}
			}
		})
	}
	_, err := clientOf(t, transports["response"]).Chat(t.Context(), ask(), nil)
	e, _ := errors.AsType[*dify.Error](err)
	if !strings.HasPrefix(e.UnsafeMessage(), told) || len(e.UnsafeMessage()) > 1<<10 || !strings.HasSuffix(e.UnsafeMessage(), "长") {
		t.Errorf("unsafe message of %d bytes: %.60q", len(e.UnsafeMessage()), e.UnsafeMessage())
	}
}

func TestErrorSaysHowLongToWait(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"7": 7 * time.Second, "999999": time.Hour, "-1": 0, "": 0, "Sun, 22 Nov 2026 10:00:00 GMT": 0,
	} {
		c := clientOf(t, func(*http.Request) (*http.Response, error) {
			r := response(http.StatusTooManyRequests, "text/plain", strings.NewReader(""))
			r.Header.Set("Retry-After", value)
			return r, nil
		})
		_, err := c.Chat(t.Context(), ask(), nil)
		if e, ok := errors.AsType[*dify.Error](err); !ok || e.RetryAfter != want {
			t.Errorf("Retry-After %q: error %v, want %s", value, err, want)
		}
	}
}

func TestKindOfOtherErrors(t *testing.T) {
	if k := dify.KindOf(nil); k != "" {
		t.Errorf("of nil: %q", k)
	}
	if k := dify.KindOf(io.EOF); k != "" {
		t.Errorf("of io.EOF: %q", k)
	}
	if k := dify.KindOf(fmt.Errorf("asking: %w", &dify.Error{Kind: dify.Server})); k != dify.Server {
		t.Errorf("of a wrapped error: %q", k)
	}
}

func TestErrorBodiesAreBounded(t *testing.T) {
	var read int
	endless := readFunc(func(p []byte) (int, error) {
		read += len(p)
		return copy(p, bytes.Repeat([]byte("x"), len(p))), nil
	})
	c := clientOf(t, func(*http.Request) (*http.Response, error) {
		return response(http.StatusBadGateway, "text/html", endless), nil
	})
	if _, err := c.Chat(context.Background(), ask(), nil); dify.KindOf(err) != dify.Server {
		t.Errorf("error %v", err)
	}
	if read > 1<<20 {
		t.Errorf("%d bytes of an error were read", read)
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }
