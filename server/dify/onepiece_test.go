package dify_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wechatbot/wechatbot-operator/server/dify"
)

func TestAskingAgainWithoutTheConversation(t *testing.T) {
	for name, c := range map[string]struct {
		in         string
		without    bool // no conversation was sent
		drop       bool
		kind       dify.Kind
		statusCode int
	}{
		"one ping and the end (1.13)":       {in: "event: ping\n\n", drop: true, kind: dify.Interrupted},
		"one ping, no conversation":         {in: "event: ping\n\n", without: true, kind: dify.Interrupted},
		"several pings: Dify works":         {in: "event: ping\n\nevent: ping\n\n", kind: dify.Interrupted},
		"a ping and an event":               {in: "event: ping\n\n" + ev("node_started", ""), kind: dify.Interrupted},
		"a nameless error (after 1.14)":     {in: "event: ping\n\n" + `data: {"event":"error","message":"","status":500}` + "\n\n", drop: true, kind: dify.ConversationGone},
		"a nameless error, no conversation": {in: `data: {"event":"error","message":"","status":500}` + "\n\n", without: true, kind: dify.Server},
		"an error with words":               {in: `data: {"event":"error","message":"boom","status":500}` + "\n\n", kind: dify.Server},
	} {
		t.Run(name, func(t *testing.T) {
			q := ask()
			if !c.without {
				q.ConversationID = "0f191de6-4e8d-45f6-a254-307d32bbd4d4"
			}
			_, err := clientOf(t, streaming(strings.NewReader(c.in))).Chat(t.Context(), q, nil)
			e, ok := errors.AsType[*dify.Error](err)
			if !ok || e.Kind != c.kind || e.DropConversation() != c.drop {
				t.Errorf("error %v, want kind %s, drop %t", err, c.kind, c.drop)
			}
		})
	}
}

func TestChatTakesAnAnswerInOnePiece(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want dify.Answer
		kind dify.Kind
	}{
		"recorded, 0.6.5": {in: string(fixture(t, "responses/0.6.5/conv-deleted.200.json")), want: dify.Answer{
			Text: greeting, ConversationID: "2ac30ce0-c5e4-4d12-a238-fda7b1f28005", TaskID: "f7adae5d-5aa5-4549-b43e-ce9e9e4a0281",
			MessageID: "c99c6eaa-b6e8-4c27-80ea-dc6f969935d7", Usage: used(11, 22),
		}},
		"recorded, 1.13.3": {in: string(fixture(t, "responses/1.13.3/conv-null.200.json")), want: dify.Answer{
			Text: greeting, ConversationID: "401076f1-fbf0-46c6-81b6-2b2b189b4226", TaskID: "a7a77198-3cc6-42bf-b676-7bc8816ac9a4",
			MessageID: "38ba7985-8377-4299-b52b-754f157cb52f", Usage: used(11, 22),
		}},
		"paused": {
			in:   `{"event":"message","answer":"等","conversation_id":"c1","status":"paused"}`,
			want: dify.Answer{Text: "等", ConversationID: "c1", Pause: &dify.Pause{}},
		},
		"an error":            {in: `{"code":"unauthorized","message":"x","status":401}`, kind: dify.Unauthorized},
		"no answer of Dify's": {in: `{"choices":[]}`, kind: dify.BadResponse},
		"an array":            {in: `[]`, kind: dify.BadResponse},
		"cut":                 {in: `{"event":"message","ans`, kind: dify.BadResponse},
		"too long":            {in: strings.Repeat(" ", 9<<20), kind: dify.BadResponse},
	} {
		t.Run(name, func(t *testing.T) {
			client := clientOf(t, func(*http.Request) (*http.Response, error) {
				return response(http.StatusOK, "application/json", strings.NewReader(c.in)), nil
			})
			var told dify.Update
			got, err := client.Chat(t.Context(), ask(), func(u dify.Update) { told = u })
			if d := cmp.Diff(c.want, got); d != "" || dify.KindOf(err) != c.kind {
				t.Errorf("error %v, want kind %q (-want +got)\n%s", err, c.kind, d)
			}
			if told.Text != c.want.Text {
				t.Errorf("update %+v", told)
			}
		})
	}
}
