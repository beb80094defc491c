package dify_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wechatbot/wechatbot-operator/server/dify"
)

func TestInfo(t *testing.T) {
	for name, want := range map[string]dify.Info{
		"responses/0.6.5/info.200.json":  {Name: "客服-chat", Version: "1.13.3"},
		"responses/1.13.3/info.200.json": {Name: "客服-chat", Mode: "chat", Version: "1.13.3"},
	} {
		got, err := newClient(t, serve(t, name), dify.Options{}).Info(t.Context())
		if d := cmp.Diff(want, got); err != nil || d != "" {
			t.Errorf("%s: %v (-want +got)\n%s", name, err, d)
		}
	}
}

func TestRunsThatOutliveTheirClient(t *testing.T) {
	for _, c := range []struct {
		mode, version string
		want          bool
	}{
		{"advanced-chat", "1.13.0", true},
		{"advanced-chat", "1.13.3", true},
		{"advanced-chat", "1.14.2-fix1", true},
		{"advanced-chat", "2.0.0", true},
		{"advanced-chat", "", true},
		{"advanced-chat", "1.12.1", false},
		{"advanced-chat", "1.9.2", false},
		{"advanced-chat", "0.15.3", false},
		{"chat", "1.13.3", false},
		{"agent-chat", "1.13.3", false},
		{"agent", "1.14.2", false},
		{"", "", false},
	} {
		if got := (dify.Info{Mode: c.mode, Version: c.version}).OutlivesClient(); got != c.want {
			t.Errorf("%s of %q: %v, want %v", c.mode, c.version, got, c.want)
		}
	}
}

func TestMessagesAreBounded(t *testing.T) {
	long := strings.Repeat("长", dify.MaxText)
	c := clientOf(t, answering(`{"data":[{"id":"m1","answer":"`+long+`"},{"id":"m2","answer":"短"}]}`))
	got, err := c.Messages(t.Context(), "c1", user, 20)
	if err != nil || len(got) != 2 || !got[0].Cut || len(got[0].Answer) > dify.MaxText || got[1].Cut || got[1].Answer != "短" {
		t.Errorf("%v; want a long answer cut at %d bytes and a short one as it is", err, dify.MaxText)
	}
}

func TestParameters(t *testing.T) {
	opening := dify.Parameters{
		OpeningStatement: "您好，欢迎光临", SuggestedQuestions: []string{"怎么退货？", "运费谁出？"}, SuggestedAfter: true,
	}
	none := dify.Parameters{}
	for name, want := range map[string]dify.Parameters{
		"responses/0.6.5/parameters-chat-opening.200.json":  opening,
		"responses/1.13.3/parameters-chat-opening.200.json": opening,
		"responses/0.6.5/parameters-chat.200.json":          none,
		"responses/1.13.3/parameters-chat.200.json":         none,
		"responses/0.6.5/parameters-chatflow.200.json":      none,
		"responses/1.13.3/parameters-chatflow.200.json":     none,
	} {
		got, err := newClient(t, serve(t, name), dify.Options{}).Parameters(t.Context())
		if d := cmp.Diff(want, got); err != nil || d != "" {
			t.Errorf("%s: %v (-want +got)\n%s", name, err, d)
		}
	}
}

func TestParametersOfAForm(t *testing.T) {
	for name, c := range map[string]struct {
		in       string
		want     dify.Parameters
		required []string
	}{
		"variables": {
			in: `{"user_input_form":[
				{"text-input":{"label":"城市","variable":"city","required":true,"max_length":48,"default":""}},
				{"select":{"label":"语言","variable":"lang","required":false,"options":["zh","en"],"max_length":null}},
				{"number":{"label":"n","variable":"n","required":true,"default":3,"max_length":"x"}}]}`,
			want: dify.Parameters{Inputs: []dify.Input{
				{Type: "text-input", Variable: "city", Label: "城市", Required: true, MaxLength: 48},
				{Type: "select", Variable: "lang", Label: "语言", Options: []string{"zh", "en"}},
				{Type: "number", Variable: "n", Label: "n", Default: "3", Required: true},
			}},
			required: []string{"city", "n"},
		},
		"images only": {
			in:   `{"user_input_form":[],"file_upload":{"image":{"enabled":true,"number_limits":3,"transfer_methods":["remote_url","local_file"]}}}`,
			want: dify.Parameters{FileUpload: dify.FileUpload{Enabled: true, Types: []string{"image"}, Methods: []string{"remote_url", "local_file"}, Limit: 3}},
		},
		"any file": {
			in: `{"user_input_form":[],"file_upload":{"enabled":true,"allowed_file_types":["image","document"],"allowed_file_upload_methods":["local_file"],"number_limits":2,"image":{"enabled":true}},
				"speech_to_text":{"enabled":true}}`,
			want: dify.Parameters{SpeechToText: true, FileUpload: dify.FileUpload{
				Enabled: true, Types: []string{"image", "document"}, Methods: []string{"local_file"}, Limit: 2,
			}},
		},
		"members of other types": {in: `{"opening_statement":5,"file_upload":[],"user_input_form":null}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := clientOf(t, answering(c.in)).Parameters(t.Context())
			if d := cmp.Diff(c.want, got); err != nil || d != "" {
				t.Errorf("%v (-want +got)\n%s", err, d)
			}
			if d := cmp.Diff(c.required, got.Required()); d != "" {
				t.Errorf("required (-want +got)\n%s", d)
			}
		})
	}
}

func TestMessages(t *testing.T) {
	for name, want := range map[string]dify.Message{
		"responses/0.6.5/messages.200.json": {
			ID: "ee267d9c-df15-4671-935a-a605e1d759bc", ConversationID: "2ac30ce0-c5e4-4d12-a238-fda7b1f28005",
			Query: "你好", Answer: greeting, Status: "normal", CreatedAt: time.Unix(1795324383, 0),
		},
		"responses/1.13.3/messages.200.json": {
			ID: "1e067426-3182-4fdc-a014-ee77249b5ea7", ConversationID: "223b03d0-1baa-4177-b45e-ac3b8252241c",
			Query: "你好", Answer: greeting, Status: "normal", CreatedAt: time.Unix(1795325297, 0),
		},
		"responses/1.13.3/messages-agent-tool.200.json": {
			ID: "95569535-a65f-41b0-a50f-2b2a57f86eab", ConversationID: "0a351092-6276-4481-9906-b855522be935", Query: "TOOL 现在几点",
			Answer: "我需要先查询一下当前时间。\n现在是上午十点整，门店已经开始营业。", Status: "normal", CreatedAt: time.Unix(1795326631, 0),
		},
		"responses/1.13.3/messages-moderated.200.json": {
			ID: "677675b9-92e6-4fb5-a40a-b8f229ff692c", ConversationID: "5d76deec-422e-4bd2-b1b8-4a00af0ad575",
			Query: "BADWORD", Answer: refused, Status: "normal", CreatedAt: time.Unix(1795325477, 0),
		},
	} {
		got, err := newClient(t, serve(t, name), dify.Options{}).Messages(t.Context(), "c1", user, 20)
		if d := cmp.Diff([]dify.Message{want}, got); err != nil || d != "" {
			t.Errorf("%s: %v (-want +got)\n%s", name, err, d)
		}
	}
	for _, version := range []string{"0.6.5", "1.13.3"} {
		c := newClient(t, serve(t, "responses/"+version+"/messages-other-user.404.json"), dify.Options{})
		if _, err := c.Messages(t.Context(), "c1", user, 20); dify.KindOf(err) != dify.ConversationGone {
			t.Errorf("%s, another user's: error %v", version, err)
		}
	}
}

// call is a method of Client without its result.
type call func(*testing.T, *dify.Client) error

var calls = map[string]call{
	"stop": func(t *testing.T, c *dify.Client) error { return c.Stop(t.Context(), "t1", user) },
	"delete": func(t *testing.T, c *dify.Client) error {
		return c.DeleteConversation(t.Context(), "c1", user)
	},
	"feedback": func(t *testing.T, c *dify.Client) error {
		return c.Feedback(t.Context(), "m1", user, dify.Like)
	},
	"suggested": func(t *testing.T, c *dify.Client) error {
		_, err := c.Suggested(t.Context(), "m1", user)
		return err
	},
}

func TestRecordedResponsesOfTheSmallCalls(t *testing.T) {
	for _, c := range []struct {
		call, response string
		kind           dify.Kind
	}{
		{"stop", "0.6.5/stop.200.json", ""},
		{"stop", "0.6.5/stop-unknown.200.json", ""},
		{"stop", "0.6.5/stop-nouser.400.json", dify.InvalidParam},
		{"stop", "1.13.3/stop-chat.200.json", ""},
		{"stop", "1.13.3/stop-otheruser-advancedchat.200.json", ""},
		{"stop", "1.13.3/stop-nouser.400.json", dify.InvalidParam},
		{"delete", "0.6.5/delete.204.json", ""},
		{"delete", "1.13.3/delete.204.json", ""},
		{"delete", "0.6.5/delete-again.404.json", ""},
		{"delete", "1.13.3/delete-other.404.json", ""},
		{"delete", "1.13.3/delete-nobody.415.json", dify.InvalidParam},
		{"feedback", "0.6.5/feedback-like.200.json", ""},
		{"feedback", "1.13.3/feedback-like.200.json", ""},
		{"feedback", "1.13.3/feedback-404.404.json", dify.NotFound},
		{"feedback", "1.13.3/feedback-bad.400.json", dify.InvalidParam},
		{"suggested", "0.6.5/suggested.200.json", ""},
		{"suggested", "1.13.3/suggested.200.json", ""},
	} {
		err := calls[c.call](t, newClient(t, serve(t, "responses/"+c.response), dify.Options{}))
		if dify.KindOf(err) != c.kind || (err == nil) != (c.kind == "") {
			t.Errorf("%s: error %v, want kind %q", c.response, err, c.kind)
		}
	}
}

func TestDeletingWhereTheRouteIsMissingFails(t *testing.T) {
	c := newClient(t, serve(t, "errors/html-unknown-route.404.html"), dify.Options{})
	if err := c.DeleteConversation(t.Context(), "c1", user); dify.KindOf(err) != dify.NotFound {
		t.Errorf("error %v", err)
	}
}

// answering is a transport that answers with JSON.
func answering(body string) roundTrip {
	return func(*http.Request) (*http.Response, error) {
		return response(http.StatusOK, "application/json; charset=utf-8", strings.NewReader(body)), nil
	}
}

func TestWhatTheCallsSend(t *testing.T) {
	q := "user=" + user
	for name, c := range map[string]struct {
		do   func(*dify.Client) error
		want string
	}{
		"stop":       {func(c *dify.Client) error { return c.Stop(t.Context(), "t-1", user) }, `POST /v1/chat-messages/t-1/stop {"user":"` + user + `"}`},
		"delete":     {func(c *dify.Client) error { return c.DeleteConversation(t.Context(), "c1", user) }, `DELETE /v1/conversations/c1 {"user":"` + user + `"}`},
		"like":       {func(c *dify.Client) error { return c.Feedback(t.Context(), "m1", user, dify.Like) }, `POST /v1/messages/m1/feedbacks {"user":"` + user + `","rating":"like"}`},
		"take back":  {func(c *dify.Client) error { return c.Feedback(t.Context(), "m1", user, dify.NoRating) }, `POST /v1/messages/m1/feedbacks {"user":"` + user + `","rating":null}`},
		"suggested":  {func(c *dify.Client) error { _, err := c.Suggested(t.Context(), "m1", user); return err }, "GET /v1/messages/m1/suggested?" + q + " "},
		"messages":   {func(c *dify.Client) error { _, err := c.Messages(t.Context(), "c1", user, 5); return err }, "GET /v1/messages?conversation_id=c1&limit=5&" + q + " "},
		"too many":   {func(c *dify.Client) error { _, err := c.Messages(t.Context(), "c1", user, 500); return err }, "GET /v1/messages?conversation_id=c1&limit=100&" + q + " "},
		"too few":    {func(c *dify.Client) error { _, err := c.Messages(t.Context(), "c1", user, 0); return err }, "GET /v1/messages?conversation_id=c1&limit=1&" + q + " "},
		"info":       {func(c *dify.Client) error { _, err := c.Info(t.Context()); return err }, "GET /v1/info "},
		"parameters": {func(c *dify.Client) error { _, err := c.Parameters(t.Context()); return err }, "GET /v1/parameters "},
	} {
		t.Run(name, func(t *testing.T) {
			var got string
			client := newClient(t, func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				got = r.Method + " " + r.URL.RequestURI() + " " + string(body)
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, `{"result":"success","data":[],"name":"x","user_input_form":[]}`)
			}, dify.Options{})
			if err := c.do(client); err != nil || got != c.want {
				t.Errorf("sent %q, %v\nwant %q", got, err, c.want)
			}
		})
	}
}

func TestIDsThatCannotBePartOfAPathAreRefused(t *testing.T) {
	c := clientOf(t, func(*http.Request) (*http.Response, error) {
		t.Error("a request was made")
		return nil, io.EOF
	})
	for _, id := range []string{"", "..", "a/b", "a?b", "a b", "好", strings.Repeat("a", 129)} {
		_, suggested := c.Suggested(t.Context(), id, user)
		for op, err := range map[string]error{
			"stop": c.Stop(t.Context(), id, user), "delete": c.DeleteConversation(t.Context(), id, user),
			"feedback": c.Feedback(t.Context(), id, user, dify.Dislike), "suggested": suggested,
		} {
			if dify.KindOf(err) != dify.InvalidParam {
				t.Errorf("%s %q: error %v", op, id, err)
			}
		}
	}
	if _, err := c.Messages(t.Context(), "", user, 1); dify.KindOf(err) != dify.InvalidParam {
		t.Errorf("messages of no conversation: error %v", err)
	}
}

func TestBodiesThatAreNoneOfDifys(t *testing.T) {
	for name, body := range map[string]string{
		"an array": "[]", "cut": `{"data":[`, "nothing": "", "too long": `{"data":"` + strings.Repeat("x", 9<<20) + `"}`,
	} {
		c := clientOf(t, answering(body))
		_, messages := c.Messages(t.Context(), "c1", user, 1)
		_, parameters := c.Parameters(t.Context())
		_, info := c.Info(t.Context())
		for _, err := range []error{messages, parameters, info} {
			if dify.KindOf(err) != dify.BadResponse {
				t.Errorf("%s: error %v", name, err)
			}
		}
	}
	broken := errors.New("reset")
	c := clientOf(t, func(*http.Request) (*http.Response, error) {
		return response(http.StatusOK, "application/json", readFunc(func([]byte) (int, error) { return 0, broken })), nil
	})
	if _, err := c.Info(t.Context()); dify.KindOf(err) != dify.Interrupted || !errors.Is(err, broken) {
		t.Errorf("broken while reading: error %v", err)
	}
}
