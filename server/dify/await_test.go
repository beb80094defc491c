package dify_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wechatbot/wechatbot-operator/server/dify"
)

// past is a Dify whose GET /messages gives what it has at that time.
type past struct {
	began    time.Time
	messages func(age time.Duration) (status int, body string)
	info     string // of GET /info
	asked    int
}

func (p *past) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/info") {
		resp := response(http.StatusOK, "application/json", strings.NewReader(p.info))
		resp.Header.Set("X-Version", "1.13.3")
		return resp, nil
	}
	p.asked++
	status, body := p.messages(time.Since(p.began))
	if status == 0 {
		return nil, io.EOF
	}
	return response(status, "application/json", strings.NewReader(body)), nil
}

func messages(items ...string) string {
	return `{"limit":5,"has_more":false,"data":[` + strings.Join(items, ",") + `]}`
}

// message is one of a conversation's.
func message(id, query, answer, status string, created time.Time, rest string) string {
	return fmt.Sprintf(`{"id":%q,"conversation_id":"c1","query":%q,"answer":%q,"status":%q,"created_at":%d%s}`, id, query, answer, status, created.Unix(), rest)
}

const chatflow, chat = `{"name":"x","mode":"advanced-chat"}`, `{"name":"x","mode":"chat"}`

func TestAwait(t *testing.T) {
	const limit = time.Minute
	type outcome struct {
		text         string
		pause        bool
		files        int
		kind         dify.Kind
		runContinues bool
		after        time.Duration
	}
	after := func(d time.Duration, then string) func(time.Duration) string {
		return func(age time.Duration) string {
			if age < d {
				return message("m1", "q", "", "normal", time.Now(), "")
			}
			return then
		}
	}
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // a bubble's first moment
	done := message("m1", "q", "全文", "normal", now, "")
	for name, c := range map[string]struct {
		run  dify.Run
		item func(age time.Duration) string
		body func(age time.Duration) (int, string) // in place of item
		info string
		want outcome
	}{
		"is there already":           {item: after(0, done), want: outcome{text: "全文"}},
		"comes later":                {item: after(9*time.Second, done), want: outcome{text: "全文", after: 10 * time.Second}},
		"never comes":                {item: after(time.Hour, done), want: outcome{kind: dify.Canceled, runContinues: true, after: limit}},
		"is a file":                  {item: after(3*time.Second, message("m1", "q", "", "normal", now, `,"message_files":[{"belongs_to":"user","url":"https://x/u.png"},{"belongs_to":"assistant","type":"image","url":"/files/a.png?sign=1"}]`)), want: outcome{files: 1, after: 4 * time.Second}},
		"has numbers that are none":  {item: after(0, message("m1", "q", "全文", "normal", now, `,"retriever_resources":[{"score":NaN},{"score":-Infinity}]`)), want: outcome{text: "全文"}},
		"waits with what is no form": {item: after(0, message("m1", "q", "", "paused", now, `,"extra_contents":[null,5,[],{"workflow_run_id":{}}]`)), want: outcome{pause: true}},
		"waits with no list":         {item: after(0, message("m1", "q", "", "paused", now, `,"extra_contents":{"workflow_run_id":"r1"}`)), want: outcome{pause: true}},
		"waits for a person":         {item: after(5*time.Second, message("m1", "q", "", "paused", now, "")), want: outcome{pause: true, after: 6 * time.Second}},
		"failed":                     {item: after(5*time.Second, message("m1", "q", "半", "error", now, "")), want: outcome{text: "半", kind: dify.WorkflowFailed, after: 6 * time.Second}},
		"of a chat was lost":         {item: after(time.Hour, done), info: chat, want: outcome{kind: dify.NotRunning}},
		"of a chat was there":        {item: after(0, done), info: chat, want: outcome{text: "全文"}},
		"is another's":               {item: func(time.Duration) string { return message("m2", "q", "别的", "normal", now, "") }, want: outcome{kind: dify.NotRunning}},
		"is found by the words":      {run: dify.Run{Query: "q", Since: now}, item: after(3*time.Second, done), want: outcome{text: "全文", after: 4 * time.Second}},
		"is older than the question": {run: dify.Run{Query: "q", Since: now.Add(time.Minute)}, item: after(0, done), want: outcome{kind: dify.NotRunning}},
		"is another question's":      {run: dify.Run{Query: "other", Since: now}, item: after(0, done), want: outcome{kind: dify.NotRunning}},
		"comes after failures": {
			body: func(age time.Duration) (int, string) {
				if age < 9*time.Second {
					return http.StatusBadGateway, ""
				}
				return http.StatusOK, messages(done)
			},
			want: outcome{text: "全文", after: 10 * time.Second},
		},
		"cannot be asked for": {
			body: func(time.Duration) (int, string) { return http.StatusServiceUnavailable, "" },
			want: outcome{kind: dify.Server, runContinues: true, after: 16 * time.Second},
		},
		"must not be asked for": {
			body: func(time.Duration) (int, string) { return http.StatusUnauthorized, `{"code":"unauthorized"}` },
			want: outcome{kind: dify.Unauthorized, runContinues: true},
		},
		"'s conversation is gone": {
			body: func(time.Duration) (int, string) {
				return http.StatusNotFound, `{"code":"not_found","message":"Conversation Not Exists."}`
			},
			want: outcome{kind: dify.ConversationGone, runContinues: true},
		},
	} {
		t.Run("the answer "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &past{began: time.Now(), info: chatflow, messages: c.body}
				if c.info != "" {
					p.info = c.info
				}
				if p.messages == nil {
					p.messages = func(age time.Duration) (int, string) {
						return http.StatusOK, messages(message("m0", "before", "vorher", "normal", now.Add(-time.Hour), ""), c.item(age))
					}
				}
				client, err := dify.New(dify.Target{BaseURL: "http://x", Key: secret}, dify.Options{Transport: p})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				run := c.run
				if run == (dify.Run{}) {
					run.MessageID = "m1"
				}
				run.User, run.ConversationID = user, "c1"
				a, err := client.Await(ctx, run)
				e, _ := errors.AsType[*dify.Error](err)
				got := outcome{text: a.Text, pause: a.Pause != nil, files: len(a.Files), kind: dify.KindOf(err), after: time.Since(p.began)}
				got.runContinues = e != nil && e.RunContinues
				if d := cmp.Diff(c.want, got, cmp.AllowUnexported(outcome{})); d != "" {
					t.Errorf("%v (-want +got)\n%s", err, d)
				}
				if p.asked > 40 {
					t.Errorf("Dify was asked %d times", p.asked)
				}
			})
		})
	}
}

func TestDeleteConversations(t *testing.T) {
	for name, c := range map[string]struct {
		page   func(deleted []string) string // what a page has
		status int                           // that deleting answers
		want   int
		kind   dify.Kind
		atMost int // calls
	}{
		"none": {page: func([]string) string { return "" }, want: 0, atMost: 1},
		"three": {page: func(d []string) string {
			return strings.Join([]string{`{"id":"a"}`, `{"id":"b"}`, `{"id":"c"}`}[len(d):], ",")
		}, want: 3, atMost: 5},
		"many pages": {
			page: func(d []string) string {
				var items []string
				for i := len(d); i < min(len(d)+100, 250); i++ {
					items = append(items, fmt.Sprintf(`{"id":"c%d","name":"x"}`, i))
				}
				return strings.Join(items, ",")
			},
			want: 250, atMost: 254,
		},
		"the same for ever":   {page: func([]string) string { return `{"id":"a"},{"id":"b"}` }, want: 2, atMost: 4},
		"new ones for ever":   {page: func(d []string) string { return fmt.Sprintf(`{"id":"c%d"}`, len(d)) }, want: 10_000, atMost: 20_000},
		"ids that are none":   {page: func([]string) string { return `{"id":"../x"},{"id":5},{},null` }, want: 0, atMost: 1},
		"a list that is none": {page: func([]string) string { return `]]` }, kind: dify.BadResponse, atMost: 1},
		"some are gone":       {page: func(d []string) string { return strings.Join([]string{`{"id":"a"}`, `{"id":"b"}`}[len(d):], ",") }, status: http.StatusNotFound, want: 2, atMost: 4},
		"some cannot be":      {page: func([]string) string { return `{"id":"a"},{"id":"b"}` }, status: http.StatusInternalServerError, kind: dify.Server, atMost: 2},
	} {
		t.Run(name, func(t *testing.T) {
			var deleted []string
			calls := 0
			client := clientOf(t, func(r *http.Request) (*http.Response, error) {
				calls++
				if r.Method == http.MethodGet {
					if q := r.URL.Query(); q.Get("user") != user || q.Get("limit") != "100" {
						t.Errorf("asked for %v", q)
					}
					return response(http.StatusOK, "application/json", strings.NewReader(`{"limit":100,"has_more":true,"data":[`+c.page(deleted)+`]}`)), nil
				}
				deleted = append(deleted, r.URL.Path)
				if c.status != 0 {
					return response(c.status, "application/json", strings.NewReader(map[int]string{
						404: `{"code":"not_found","message":"Conversation Not Exists."}`, 500: `{"code":"unknown","message":"x"}`,
					}[c.status])), nil
				}
				return response(http.StatusNoContent, "application/json", strings.NewReader("")), nil
			})
			n, err := client.DeleteConversations(t.Context(), user)
			if n != c.want || dify.KindOf(err) != c.kind || (err == nil) != (c.kind == "") || calls > c.atMost {
				t.Errorf("deleted %d, error %v, %d calls; want %d, %q", n, err, calls, c.want, c.kind)
			}
		})
	}
}
