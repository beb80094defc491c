package difysim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime/multipart"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestConversations_OfUserAndRelease(t *testing.T) {
	for name, tc := range map[string]struct {
		options Options
		deleted int // status of the deletion
		after   int // status of a question in the deleted conversation
	}{
		"0.6.5 chat":     {Options{Release: V0_6_5}, 204, 200},
		"0.6.5 chatflow": {Options{Release: V0_6_5, Mode: Chatflow}, 204, 404},
		"1.12.1 chat":    {Options{Release: V1_12_1}, 200, 404},
		"1.13.3 chat":    {Options{}, 204, 404},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, tc.options)
			id := c.ask("一")[0].Conversation
			if got := c.ask("二", member{"conversation_id", id})[0].Conversation; got != id {
				t.Errorf("the conversation went on as %q", got)
			}
			other := strings.Replace(question("三", member{"conversation_id", id}), "oABC", "oXYZ", 1)
			if status, _ := c.do("POST", "/v1/chat-messages", other); status != 404 {
				t.Errorf("another user's question: %d", status)
			}
			if status, _ := c.do("DELETE", "/v1/conversations/"+id, `{"user":"oXYZ"}`); status != 404 {
				t.Errorf("another user's deletion: %d", status)
			}
			status, body := c.do("GET", "/v1/messages?user=oABC&conversation_id="+id, "")
			var page struct {
				Data []struct{ Query, Answer string }
			}
			if err := json.Unmarshal(body, &page); err != nil || status != 200 || len(page.Data) != 2 || page.Data[1].Answer != Echo("二", 0) {
				t.Errorf("messages: %d %s %v", status, body, err)
			}
			if status, _ := c.do("DELETE", "/v1/conversations/"+id, `{"user":"oABC"}`); status != tc.deleted {
				t.Errorf("deletion: %d, want %d", status, tc.deleted)
			}
			if status, _ := c.do("DELETE", "/v1/conversations/"+id, `{"user":"oABC"}`); status != 404 {
				t.Errorf("second deletion: %d", status)
			}
			if status, _ := c.do("POST", "/v1/chat-messages", question("四", member{"conversation_id", id})); status != tc.after {
				t.Errorf("question after the deletion: %d, want %d", status, tc.after)
			}
			if !c.server.Forget(id) || c.server.Forget(id) || c.server.Messages(id) != nil {
				t.Error("not forgotten, or twice")
			}
			if status, _ := c.do("POST", "/v1/chat-messages", question("五", member{"conversation_id", id})); status != 404 {
				t.Errorf("question after it was forgotten: %d", status)
			}
			if got := c.server.Requests("DELETE /conversations/{id}"); got != 3 {
				t.Errorf("%d deletions were counted", got)
			}
		})
	}
}

func TestListsArePaged(t *testing.T) {
	for _, release := range []Release{V0_6_5, V1_13_3} {
		bubble(t, func(t *testing.T) {
			c := newClient(t, Options{Release: release})
			var ids []string
			for range 3 {
				ids = append(ids, c.ask("问")[0].Conversation)
				time.Sleep(time.Second)
			}
			for range 3 {
				c.ask("又问", member{"conversation_id", ids[0]})
			}
			version := release.String()
			var list struct {
				HasMore bool `json:"has_more"`
				Data    []struct{ ID string }
			}
			get := func(path string) []string {
				t.Helper()
				status, body := c.do("GET", path, "")
				list.Data = nil
				if err := json.Unmarshal(body, &list); status != 200 || err != nil {
					t.Fatalf("%s: %d %s", path, status, body)
				}
				var got []string
				for _, item := range list.Data {
					got = append(got, item.ID)
				}
				return got
			}
			got := get("/v1/conversations?user=oABC&limit=2")
			if diff := cmp.Diff([]string{ids[0], ids[2]}, got); diff != "" || !list.HasMore {
				t.Errorf("%s: first page, more: %v\n%s", version, list.HasMore, diff)
			}
			got = get("/v1/conversations?user=oABC&last_id=" + ids[2])
			if diff := cmp.Diff([]string{ids[1]}, got); diff != "" || list.HasMore {
				t.Errorf("%s: last page, more: %v\n%s", version, list.HasMore, diff)
			}
			if got = get("/v1/conversations"); len(got) != 0 {
				t.Errorf("%s: the default user has conversations %v", version, got)
			}
			newest := get("/v1/messages?user=oABC&limit=3&conversation_id=" + ids[0])
			if len(newest) != 3 || !list.HasMore {
				t.Errorf("%s: messages %v", version, newest)
			}
			older := get("/v1/messages?user=oABC&first_id=" + newest[0] + "&conversation_id=" + ids[0])
			if len(older) != 1 || list.HasMore {
				t.Errorf("%s: older messages %v", version, older)
			}
			for path, file := range map[string]string{
				"/v1/messages?user=oABC&conversation_id=" + ids[1]: "messages", "/v1/conversations?user=oABC&limit=1": "conversations",
			} {
				_, body := c.do("GET", path, "")
				want := recordedBytes(t, "responses/"+version+"/"+file+".200.json")
				var first struct{ Data []json.RawMessage }
				var recordedFirst struct{ Data []json.RawMessage }
				if json.Unmarshal(body, &first) != nil || json.Unmarshal(want, &recordedFirst) != nil {
					t.Fatalf("%s", body)
				}
				if diff := cmp.Diff(shape(t, recordedFirst.Data[0]), shape(t, first.Data[0])); diff != "" {
					t.Errorf("%s %s -recorded +generated:\n%s", version, file, diff)
				}
			}
			for _, path := range []string{
				"/v1/messages?user=oABC&conversation_id=x", "/v1/messages?limit=0&conversation_id=" + ids[0], "/v1/conversations?limit=x",
			} {
				if status, body := c.do("GET", path, ""); status != 400 {
					t.Errorf("%s: %d %s", path, status, body)
				}
			}
			if status, _ := c.do("GET", "/v1/messages?user=oABC&first_id=x&conversation_id="+ids[0], ""); status != 404 {
				t.Errorf("first_id unknown: %d", status)
			}
		})
	}
}

func TestFeedbackRenamingAndSuggestions(t *testing.T) {
	c := newClient(t, Options{Features: Features{Suggested: []string{"怎么退货？"}}})
	first := c.ask("请问运费由谁承担呢")[0]
	feedback := "/v1/messages/" + first.Message + "/feedbacks"
	for _, tc := range []struct {
		rating string
		status int
		after  string
	}{{"null", 400, ""}, {`"like"`, 200, "like"}, {`"dislike"`, 200, "dislike"}, {"null", 200, ""}} {
		status, body := c.do("POST", feedback, `{"user":"oABC","rating":`+tc.rating+`}`)
		if got := c.server.Messages(first.Conversation)[0].Rating; status != tc.status || got != tc.after {
			t.Errorf("rating %s: %d %s, stored %q", tc.rating, status, body, got)
		}
	}
	if status, _ := c.do("POST", feedback, `{"user":"oXYZ","rating":"like"}`); status != 404 {
		t.Errorf("another user's feedback: %d", status)
	}
	rename := "/v1/conversations/" + first.Conversation + "/name"
	for body, want := range map[string]string{
		`{"user":"oABC","name":"新名字"}`: `"name": "\u65b0\u540d\u5b57"`, `{"user":"oABC","auto_generate":true}`: `"name": "\u8bf7\u95ee`,
	} {
		if status, got := c.do("POST", rename, body); status != 200 || !bytes.Contains(got, []byte(want)) {
			t.Errorf("renaming with %s: %d %s", body, status, got)
		}
	}
	suggested := "/v1/messages/" + first.Message + "/suggested?user=oABC"
	if status, body := c.do("GET", suggested, ""); status != 200 || !bytes.Contains(body, []byte(`"data": ["\u600e`)) {
		t.Errorf("suggestions: %d %s", status, body)
	}
	plain := newClient(t, Options{})
	id := plain.ask("问")[0].Message
	status, body := plain.do("GET", "/v1/messages/"+id+"/suggested?user=oABC", "")
	if want := recordedBytes(t, "errors/bad_request-suggested-disabled.400.json"); status != 400 || !bytes.Equal(body, want) {
		t.Errorf("suggestions off: %d %s", status, body)
	}
}

func TestAppDataIsTheRecordedOne(t *testing.T) {
	shop := Options{AppName: "客服-chat", OpeningStatement: "您好，欢迎光临", SuggestedQuestions: []string{"怎么退货？", "运费谁出？"}, Features: Features{Suggested: []string{"?"}}}
	for _, tc := range []struct {
		options Options
		path    string
		file    string
	}{
		{shop, "info", "1.13.3/info"},
		{shop, "meta", "1.13.3/meta"},
		{shop, "site", "1.13.3/site"},
		{shop, "parameters", "1.13.3/parameters-chat-opening"},
		{Options{}, "parameters", "1.13.3/parameters-chat"},
		{Options{Mode: Chatflow}, "parameters", "1.13.3/parameters-chatflow"},
		{Options{Release: V0_6_5, AppName: "客服-chat"}, "info", "0.6.5/info"},
		{Options{Release: V0_6_5}, "meta", "0.6.5/meta"},
		{Options{Release: V0_6_5}, "parameters", "0.6.5/parameters-chat"},
		{Options{Release: V0_6_5, Mode: Chatflow}, "parameters", "0.6.5/parameters-chatflow"},
	} {
		status, body := newClient(t, tc.options).do("GET", "/v1/"+tc.path, "")
		if want := recordedBytes(t, "responses/"+tc.file+".200.json"); status != 200 || !bytes.Equal(body, want) {
			t.Errorf("%s: %d %s\nwant %s", tc.file, status, body, want)
		}
	}
}

// upload makes a multipart body.
func upload(t *testing.T, files map[string]string, media string, size int) (contentType string, body []byte) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	if err := w.WriteField("user", "oABC"); err != nil {
		t.Fatal(err)
	}
	for name := range files {
		header := textproto.MIMEHeader{"Content-Disposition": {`form-data; name="file"; filename="` + name + `"`}}
		if media != "" {
			header.Set("Content-Type", media)
		}
		part, err := w.CreatePart(header)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := part.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return w.FormDataContentType(), b.Bytes()
}

func TestUpload(t *testing.T) {
	one, two := map[string]string{"a.png": ""}, map[string]string{"a.png": "", "b.png": ""}
	for name, tc := range map[string]struct {
		release Release
		files   map[string]string
		media   string
		size    int
		status  int
		file    string
		exact   bool
	}{
		"one":               {V1_13_3, one, "image/png", 8, 201, "responses/1.13.3/upload-png.201.json", false},
		"one, old":          {V0_6_5, one, "image/png", 8, 201, "responses/0.6.5/upload-png.201.json", false},
		"two":               {V1_13_3, two, "image/png", 8, 400, "responses/1.13.3/upload-two.400.json", true},
		"none":              {V1_13_3, nil, "", 0, 400, "responses/1.13.3/upload-nofile.400.json", true},
		"none, old":         {V0_6_5, nil, "", 0, 400, "responses/0.6.5/upload-nofile.400.json", true},
		"slash":             {V1_13_3, map[string]string{"a/b.png": ""}, "image/png", 8, 400, "responses/1.13.3/upload-slash.400.json", true},
		"without a type":    {V1_13_3, one, "", 8, 415, "errors/unsupported_file_type.415.json", true},
		"too large":         {V1_13_3, one, "image/png", maxUpload + 1, 413, "responses/1.13.3/upload-big.413.json", true},
		"too large, old":    {V0_6_5, one, "image/png", maxUpload + 1, 413, "responses/0.6.5/upload-big.413.json", true},
		"name of Chinese":   {V1_13_3, map[string]string{"图片.png": ""}, "image/png", 8, 201, "responses/1.13.3/upload-cjk.201.json", false},
		"not a form at all": {V1_13_3, nil, "text/plain", -1, 400, "responses/1.13.3/upload-nofile.400.json", true},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Options{Release: tc.release})
			contentType, body := "text/plain", []byte("x")
			if tc.size >= 0 {
				contentType, body = upload(t, tc.files, tc.media, tc.size)
			}
			request := c.request(t.Context(), "POST", "/v1/files/upload", string(body))
			request.Header.Set("Content-Type", contentType)
			status, got := c.read(request)
			want := recordedBytes(t, tc.file)
			same := shape(t, got) == shape(t, want)
			if tc.exact {
				same = bytes.Equal(got, want)
			}
			if status != tc.status || !same {
				t.Errorf("%d %s\nwant %d %s", status, got, tc.status, want)
			}
		})
	}
}

func TestScriptChoosesCallByCall(t *testing.T) {
	c := newClient(t, Options{})
	c.server.Script(func(r Request) Behaviour {
		switch {
		case r.Query == "错":
			return Behaviour{Fault: Fault{Kind: "nonsense"}}
		case r.Number == 1:
			return Behaviour{Fault: Fault{Kind: HTTPError, Name: "unknown.500"}}
		case len(r.Files) > 0:
			return Behaviour{Answer: "看到了" + r.Files[0].UploadFileID + fmt.Sprint(r.Inputs["city"])}
		}
		return Behaviour{Answer: r.User + "问" + r.Query}
	})
	if status, _ := c.do("POST", "/v1/chat-messages", question("一")); status != 500 {
		t.Errorf("first call: %d", status)
	}
	if got := text(c.ask("二")); got != "oABC问二" {
		t.Errorf("second call: %q", got)
	}
	files := member{"files", list{
		object{{"type", "image"}}, // without a way of transfer: dropped
		object{{"type", "image"}, {"transfer_method", "remote_url"}},
		object{{"type", "image"}, {"transfer_method", "local_file"}, {"upload_file_id", "F"}},
	}}
	if got := text(c.ask("三", files, member{"inputs", object{{"city", "城"}}}, member{"auto_generate_name", false})); got != "看到了F城" {
		t.Errorf("third call: %q", got)
	}
	want := Request{
		Number: 3, Query: "三", User: "oABC", Inputs: map[string]any{"city": "城"},
		Files: []File{{Type: "image", TransferMethod: "local_file", UploadFileID: "F"}}, From: "127.0.0.1",
	}
	got := c.server.Calls()[2].Request
	got.size = 0
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Request{})); diff != "" {
		t.Errorf("recorded -want +got:\n%s", diff)
	}
	if status, body := c.do("POST", "/v1/chat-messages", question("错")); status != 500 || !bytes.Contains(body, []byte("nonsense")) {
		t.Errorf("impossible behaviour: %d %s", status, body)
	}
	c.server.Script(nil)
	if got := text(c.ask("五")); got != Echo("五", 0) {
		t.Errorf("without the script: %q", got)
	}
}

func TestRepeatCountsCalls(t *testing.T) {
	c := newClient(t, Options{})
	c.server.SetBehaviour(Behaviour{Fault: Fault{Kind: TooManyRequests}, Repeat: 2})
	var got []int
	for range 4 {
		status, _ := c.do("POST", "/v1/chat-messages", question("你好"))
		got = append(got, status)
	}
	if diff := cmp.Diff([]int{400, 400, 200, 200}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestImpossibleBehaviourIsRefused(t *testing.T) {
	for name, b := range map[string]Behaviour{
		"negative": {Total: -1}, "long": {Length: maxLength + 1}, "fixture": {Fixture: "nothing"}, "fault": {Fault: Fault{Kind: "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("was taken")
				}
			}()
			New(Options{Behaviour: b})
		})
	}
}

func TestWaiting(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newClient(t, Options{Behaviour: Behaviour{Total: time.Minute}})
		start := time.Now()
		var asking sync.WaitGroup
		for i := range 3 {
			asking.Go(func() {
				time.Sleep(time.Duration(i) * time.Second)
				c.ask("问" + strconv.Itoa(i))
			})
		}
		if err := c.server.WaitCalls(t.Context(), 2); err != nil || since(start) != time.Second {
			t.Errorf("two calls after %v: %v", since(start), err)
		}
		if err := c.server.WaitRunning(t.Context(), 3); err != nil || since(start) != 2*time.Second {
			t.Errorf("three run after %v: %v", since(start), err)
		}
		if err := c.server.WaitEnded(t.Context(), 2); err != nil || since(start) != 61*time.Second {
			t.Errorf("two ended after %v: %v", since(start), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		err := c.server.WaitCalls(ctx, 4)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "have 3, want 4") || len(c.server.waiters) != 0 {
			t.Errorf("waiting in vain: %v, %d waiters", err, len(c.server.waiters))
		}
		asking.Wait()
	})
}

func TestMemoryIsBounded(t *testing.T) {
	c := newClient(t, Options{Behaviour: Behaviour{Fault: Fault{Kind: TooManyRequests}}})
	long := strings.Repeat("长", 1000)
	for i := range rememberedCalls + 5 {
		c.server.end(c.server.begin(&Request{Query: long + strconv.Itoa(i), size: rememberedBody + 1, Files: []File{{}}}), result{})
	}
	calls := c.server.Calls()
	if len(calls) != rememberedCalls || calls[0].Number != 6 || len(calls[0].Query) != rememberedQuery || calls[0].Files != nil {
		t.Errorf("%d calls, the first %d, %d bytes", len(calls), calls[0].Number, len(calls[0].Query))
	}
	if c.server.CallCount() != rememberedCalls+5 || len(c.server.CallsFor(long+"x")) != rememberedCalls {
		t.Errorf("count %d", c.server.CallCount())
	}
	store := newConversationStore()
	text := strings.Repeat("x", 1<<20)
	for i := range 100 {
		store.ask(store.open(strconv.Itoa(i), "u"), "m"+strconv.Itoa(i), text)
	}
	if n := len(store.byID); n != 63 || len(store.byMessage) != n || len(store.oldest) != n || store.byID["99"] == nil {
		t.Errorf("%d conversations, %d messages, %d in order", n, len(store.byMessage), len(store.oldest))
	}
	store.answer("m0", stored{answer: "late"})
	if store.size > rememberedText {
		t.Errorf("size %d", store.size)
	}
}

func TestManyStreamsAtATime(t *testing.T) {
	c := overSockets(t, newClient(t, Options{Mode: Chatflow, Behaviour: Behaviour{Total: 50 * time.Millisecond, Length: 200}}))
	var asking sync.WaitGroup
	for i := range 200 {
		asking.Go(func() {
			query := "第" + strconv.Itoa(i) + "问"
			response, err := c.http.Do(c.request(t.Context(), "POST", "/v1/chat-messages", question(query)))
			if err != nil {
				t.Error(err)
				return
			}
			defer closeBody(t, response)
			var b bytes.Buffer
			if _, err := b.ReadFrom(response.Body); err != nil {
				t.Error(err)
			}
			if got := text(parseEvents(t, b.Bytes())); got != Echo(query, 200) {
				t.Errorf("%s got %q", query, got)
			}
		})
	}
	asking.Wait()
	if err := c.server.WaitEnded(t.Context(), 200); err != nil {
		t.Fatal(err)
	}
	for _, call := range c.server.Calls() {
		if call.Outcome != Answered || call.ClientGone {
			t.Errorf("%+v", call)
		}
	}
	c.http.CloseIdleConnections()
}
