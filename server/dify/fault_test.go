package dify_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wechatbot/wechatbot-operator/server/dify"
)

// file is an event that tells of a file.
func file(rest string) string { return ev("message_file", `,"id":"f1"`+rest) }

func TestFilesThatAnAppMakes(t *testing.T) {
	const base = "https://dify.example.com"
	made := func(name, kind, url string) dify.AnswerFile { return dify.AnswerFile{Name: name, Type: kind, URL: url} }
	started := ev("workflow_started", "")
	for name, c := range map[string]struct {
		in    string
		asked []dify.File
		want  []dify.AnswerFile
	}{
		"a picture":                   {in: file(`,"type":"image","belongs_to":"assistant","url":"https://x/y.png"`), want: []dify.AnswerFile{made("y.png", "image", "https://x/y.png")}},
		"sound":                       {in: file(`,"type":"audio","belongs_to":"assistant","url":"/files/tools/a.mp3?sign=1"`), want: []dify.AnswerFile{made("a.mp3", "audio", base+"/files/tools/a.mp3?sign=1")}},
		"of nobody in particular":     {in: file(`,"type":"image","belongs_to":null,"url":"https://x/y.png"`), want: []dify.AnswerFile{made("y.png", "image", "https://x/y.png")}},
		"the user's":                  {in: file(`,"type":"image","belongs_to":"user","url":"https://x/y.png"`)},
		"a path without a slash":      {in: file(`,"type":"image","url":"files/y.png"`), want: []dify.AnswerFile{made("y.png", "image", base+"/files/y.png")}},
		"an address without a scheme": {in: file(`,"type":"image","url":"//cdn.example.com/y.png"`), want: []dify.AnswerFile{made("y.png", "image", "https://cdn.example.com/y.png")}},
		"a name that is an id":        {in: file(`,"type":"image","url":"/files/tools/0f191de6-4e8d-45f6-a254-307d32bbd4d4.png?sign=1"`), want: []dify.AnswerFile{made("", "image", base+"/files/tools/0f191de6-4e8d-45f6-a254-307d32bbd4d4.png?sign=1")}},
		"a name in an address":        {in: file(`,"type":"document","url":"https://x/%E6%8A%A5%E5%91%8A.pdf"`), want: []dify.AnswerFile{made("报告.pdf", "document", "https://x/%E6%8A%A5%E5%91%8A.pdf")}},
		"data in the address":         {in: file(`,"type":"image","url":"data:image/png;base64,AAAA"`)},
		"a file of the server's":      {in: file(`,"type":"image","url":"file:///etc/passwd"`)},
		"a script":                    {in: file(`,"type":"image","url":"javascript:alert(1)"`)},
		"an address with a password":  {in: file(`,"type":"image","url":"https://u:p@x/y.png"`)},
		"no address at all":           {in: file(`,"type":"image","url":"http://"`)},
		"the same twice, signed anew": {
			in:   file(`,"type":"image","url":"/files/tools/a.png?timestamp=1&sign=1"`) + ev("message_end", `,"files":[{"type":"image","transfer_method":"tool_file","filename":"猫.png","mime_type":"image/png","size":7,"url":"/files/tools/a.png?timestamp=2&sign=2"}]`),
			want: []dify.AnswerFile{{Name: "a.png", Type: "image", MIMEType: "image/png", URL: base + "/files/tools/a.png?timestamp=1&sign=1", Size: 7}},
		},
		"two of one page": {
			in:   file(`,"type":"image","url":"https://x/img?id=1"`) + file(`,"type":"image","url":"https://x/img?id=2"`),
			want: []dify.AnswerFile{made("", "image", "https://x/img?id=1"), made("", "image", "https://x/img?id=2")},
		},
		"a chat's end lists what the user has sent": {
			in: ev("message_end", `,"files":[{"type":"image","transfer_method":"local_file","upload_file_id":"u1","url":"/files/u1/file-preview?sign=1"},{"type":"image","transfer_method":"remote_url","remote_url":"https://x/y.png"}]`),
		},
		"a chatflow's end lists what it made": {
			in:   started + ev("message_end", `,"files":[{"type":"document","transfer_method":"local_file","filename":"a.pdf","url":"/files/k1/file-preview?sign=1"},null,5,{"filename":"nothing"}]`) + ev("workflow_finished", `,"data":{"status":"succeeded"}`),
			want: []dify.AnswerFile{made("a.pdf", "document", base+"/files/k1/file-preview?sign=1")},
		},
		"a chatflow gives back what the user has sent": {
			in:    started + ev("message_end", `,"files":[{"type":"image","transfer_method":"local_file","upload_file_id":"u1","filename":"a.png","url":"/files/u1/file-preview?sign=1"},{"type":"image","url":"/files/u2/file-preview?sign=1"},{"type":"image","remote_url":"https://x/y.png"}]`) + ev("workflow_finished", ""),
			asked: []dify.File{{UploadFileID: "u1"}, {UploadFileID: "u2"}, {URL: "https://x/y.png"}},
		},
		"files of the run, without a message_end (1.13.0)": {
			in:   started + ev("workflow_finished", `,"data":{"status":"succeeded","outputs":{"answer":"","files":[{"type":"video","transfer_method":"tool_file","filename":"a.mp4","url":"https://x/a.mp4"}]},"files":[{"type":"video","transfer_method":"tool_file","filename":"a.mp4","url":"https://x/a.mp4"}]}`),
			want: []dify.AnswerFile{made("a.mp4", "video", "https://x/a.mp4")},
		},
		"a name with control characters": {
			in:   ev("message_end", `,"files":[{"type":"document","transfer_method":"tool_file","filename":" a\u0000\n.pdf ","url":"https://x/a"}]`),
			want: []dify.AnswerFile{made("a.pdf", "document", "https://x/a")},
		},
		"files that are none": {in: ev("message_end", `,"files":{"a":1}`)},
	} {
		t.Run(name, func(t *testing.T) {
			q := ask()
			q.Files = c.asked
			a, err := clientOf(t, streaming(strings.NewReader(c.in+ev("message_end", "")))).Chat(t.Context(), q, nil)
			if d := cmp.Diff(c.want, a.Files); err != nil || d != "" {
				t.Errorf("error %v (-want +got)\n%s", err, d)
			}
			if a.Empty() != (len(c.want) == 0) {
				t.Errorf("empty: %t", a.Empty())
			}
		})
	}
}

func TestFilesOfADifyBelowAPath(t *testing.T) {
	for address, want := range map[string]string{
		"/files/tools/a.png?sign=1":           "https://host/dify/files/tools/a.png?sign=1",
		"https://cdn.example.com/b.png":       "https://cdn.example.com/b.png",
		"//cdn.example.com/files/tools/c.png": "https://cdn.example.com/files/tools/c.png",
	} {
		c, err := dify.New(dify.Target{BaseURL: "https://host/dify/v1", Key: secret}, dify.Options{
			Transport: streaming(strings.NewReader(file(`,"type":"image","url":"`+address+`"`) + ev("message_end", ""))),
		})
		if err != nil {
			t.Fatal(err)
		}
		a, err := c.Chat(t.Context(), ask(), nil)
		if err != nil || len(a.Files) != 1 || a.Files[0].URL != want {
			t.Errorf("%s: %+v, %v", address, a.Files, err)
		}
	}
}

func TestLinkedIn(t *testing.T) {
	signed := dify.AnswerFile{URL: "https://dify.example.com/files/tools/y.docx?timestamp=1&nonce=2&sign=3"}
	plain := dify.AnswerFile{URL: "https://x/img?id=1"}
	for name, c := range map[string]struct {
		file     dify.AnswerFile
		markdown string
		want     bool
	}{
		"a path":                  {signed, "[报告](/files/tools/y.docx?timestamp=9&nonce=9&sign=9)", true},
		"a whole address":         {signed, "![](https://dify.example.com/files/tools/y.docx?timestamp=1&nonce=2&sign=3)", true},
		"another file":            {signed, "[报告](/files/tools/z.docx?sign=3)", false},
		"no link":                 {signed, "报告.docx", false},
		"not Dify's":              {plain, "![](https://x/img?id=1)", true},
		"not Dify's, another":     {plain, "![](https://x/img?id=2)", false},
		"an address that is none": {dify.AnswerFile{URL: "%"}, "%", false},
		"nothing":                 {signed, "", false},
	} {
		if got := c.file.LinkedIn(c.markdown); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestARunThatWaitsForAPerson(t *testing.T) {
	started := ev("workflow_started", "")
	form := func(id, rest string) string { return `{"form_id":"` + id + `","node_title":"审批"` + rest + `}` }
	required := func(id, rest string) string { return ev("human_input_required", `,"data":`+form(id, rest)) }
	paused := func(reasons string) string {
		return ev("workflow_paused", `,"data":{"reasons":[`+reasons+`],"outputs":{}}`)
	}
	one := dify.Form{ID: "f1", Title: "审批", Content: "请确认"}
	for name, c := range map[string]struct {
		in   string
		want []dify.Form
	}{
		"told twice":                  {required("f1", `,"form_content":"请确认"`) + paused(form("f1", `,"form_content":"请确认"`)), []dify.Form{one}},
		"told only at the end":        {paused(form("f1", `,"form_content":"请确认"`)), []dify.Form{one}},
		"the end knows less":          {required("f1", `,"form_content":"请确认"`) + paused(`{"TYPE":"human_input_required","form_id":"f1"}`), []dify.Form{one}},
		"nothing is told (1.14 rc)":   {ev("human_input_required", `,"data":{}`) + paused(""), nil},
		"no data at all":              {ev("human_input_required", "") + ev("workflow_paused", ""), nil},
		"one was filled in meanwhile": {required("f0", "") + ev("human_input_form_filled", `,"data":{"form_id":"f0"}`) + required("f1", `,"form_content":"请确认"`) + paused(form("f1", "")), []dify.Form{one}},
		"two at a time":               {required("f1", `,"form_content":"请确认"`) + required("f2", "") + paused(""), []dify.Form{one, {ID: "f2", Title: "审批"}}},
		"everything that there is": {
			required("f1", `,"form_token":"tok","form_content":"请确认","inputs":[{"type":"paragraph","output_variable_name":"why","default":{"value":""}},5,{}],`+
				`"user_actions":[{"id":"ok","title":"同意","button_style":"primary"},{"title":"无"}],"expiration_time":1767312000.5`) + paused(""),
			[]dify.Form{{
				ID: "f1", Token: "tok", Title: "审批", Content: "请确认", Inputs: []dify.FormInput{{Variable: "why", Type: "paragraph"}},
				Actions: []dify.FormAction{{ID: "ok", Title: "同意"}}, Expires: time.Unix(1767312000, 0),
			}},
		},
		"an end that is none":     {required("f1", `,"form_content":"请确认","expiration_time":NaN`) + paused(""), []dify.Form{one}},
		"an end long gone":        {required("f1", `,"form_content":"请确认","expiration_time":-5`) + paused(""), []dify.Form{one}},
		"an email's has no token": {required("f1", `,"form_content":"请确认","form_token":null`) + paused(""), []dify.Form{one}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, text := range []string{"", "已提交。"} {
				in := started + c.in
				if text != "" {
					in = started + ev("message", `,"answer":"`+text+`"`) + c.in
				}
				a, err := replay(t, strings.NewReader(in))
				if err != nil || a.Text != text || a.Pause == nil || a.Empty() {
					t.Fatalf("answer %+v, error %v", a, err)
				}
				if d := cmp.Diff(c.want, a.Pause.Forms); d != "" {
					t.Errorf("(-want +got)\n%s", d)
				}
			}
		})
	}
	many := started + ev("workflow_paused", `,"data":{"reasons":[`+strings.TrimSuffix(strings.Repeat(form("f", `,"form_content":"`+strings.Repeat("长", 9999)+`"`)+",", 50), ",")+`]}`)
	a, err := replay(t, strings.NewReader(many))
	if err != nil || len(a.Pause.Forms) != 16 || len(a.Pause.Forms[0].Content) > 16<<10 {
		t.Errorf("%d forms, %v", len(a.Pause.Forms), err)
	}
}

func TestWhatIsNotQuiteJSON(t *testing.T) {
	text := ev("message", `,"answer":"甲"`)
	for name, c := range map[string]struct {
		in   string
		text string
		kind dify.Kind
	}{
		"NaN beside a delta":                {in: ev("message", `,"score":NaN,"answer":"甲"`) + ev("message_end", ""), text: "甲"},
		"Infinity behind a delta":           {in: ev("message", `,"answer":"甲","score":Infinity`) + ev("message_end", ""), text: "甲"},
		"-Infinity in the first event":      {in: `data: {"event":"message","x":-Infinity,"conversation_id":"c1","message_id":"m1","task_id":"t1","answer":"甲"}` + "\n\n" + ev("message_end", ""), text: "甲"},
		"NaN in usage":                      {in: text + ev("message_end", `,"metadata":{"usage":{"latency":NaN,"total_price":NaN,"prompt_tokens":Infinity}}`), text: "甲"},
		"NaN in a list":                     {in: text + ev("message_end", `,"metadata":{"retriever_resources":[{"score":[NaN,-Infinity,{"x":Infinity}]}]}`), text: "甲"},
		"NaN for an answer":                 {in: ev("message", `,"answer":NaN`) + text + ev("message_end", ""), text: "甲"},
		"NaN for an id":                     {in: `data: {"event":"message","conversation_id":NaN,"answer":"甲"}` + "\n\n" + ev("message_end", ""), text: "甲"},
		"NaN in a replacement":              {in: text + ev("message_replace", `,"x":NaN,"answer":"乙"`) + ev("message_end", ""), text: "乙"},
		"NaN in outputs":                    {in: ev("workflow_finished", `,"data":{"elapsed_time":NaN,"outputs":{"x":NaN,"answer":"甲"},"status":"succeeded"}`), text: "甲"},
		"NaN in an error":                   {in: ev("error", `,"status":NaN,"code":"provider_quota_exceeded"`), kind: dify.QuotaExceeded},
		"NaN in a failed run":               {in: ev("workflow_finished", `,"data":{"x":NaN,"status":"failed"}`), kind: dify.WorkflowFailed},
		"a word that JSON does not know":    {in: ev("message", `,"x":undefined,"answer":"甲"`) + ev("message_end", ""), text: "甲"},
		"an escape that JSON does not know": {in: ev("message", `,"answer":"甲\x乙\u12"`) + ev("message_end", ""), text: "甲x乙\ufffd"},
	} {
		t.Run(name, func(t *testing.T) {
			for how, r := range map[string]io.Reader{"whole": strings.NewReader(c.in), "byte by byte": iotest.OneByteReader(strings.NewReader(c.in))} {
				a, err := replay(t, r)
				if dify.KindOf(err) != c.kind || (err == nil) != (c.kind == "") || a.Text != c.text {
					t.Errorf("%s: text %q, error %v", how, a.Text, err)
				}
			}
		})
	}
}

func TestUsageIsBounded(t *testing.T) {
	for in, want := range map[string]dify.Usage{
		`"prompt_tokens":-1,"completion_tokens":-1e300,"total_price":"-5"`:                         {},
		`"prompt_tokens":1e300,"completion_tokens":99999999999999,"total_price":1e300`:             {PromptTokens: 1e9, CompletionTokens: 1e9, TotalTokens: 1e9, TotalPrice: 1e6},
		`"prompt_tokens":"7","completion_tokens":2.9,"total_price":"0.25","currency":"USD"`:        {PromptTokens: 7, CompletionTokens: 2, TotalTokens: 9, TotalPrice: 0.25, Currency: "USD"},
		`"prompt_tokens":null,"completion_tokens":{},"total_price":[],"currency":"usd"`:            {},
		`"prompt_tokens":true,"completion_tokens":"x","total_price":"1e400","currency":"U\u0000D"`: {},
		`"total_tokens":-1`:                   {},
		`"total_tokens":1e300`:                {TotalTokens: 1e9},
		`"prompt_tokens":1,"total_tokens":12`: {PromptTokens: 1, TotalTokens: 12},
		`"currency":"RMB"`:                    {Currency: "RMB"},
		`"currency":"RMBX"`:                   {},
	} {
		a, err := replay(t, strings.NewReader(ev("message_end", `,"metadata":{"usage":{`+in+`}}`)))
		if err != nil || a.Usage != want {
			t.Errorf("%s: %+v, %v; want %+v", in, a.Usage, err, want)
		}
	}
}

func TestSurrogatePairsThatAreSplit(t *testing.T) {
	delta := func(s string) string { return ev("message", `,"answer":"`+s+`"`) }
	for name, c := range map[string]struct{ in, want string }{
		"over two deltas":             {delta(`\ud83d`) + delta(`\ude00`), "😀"},
		"in capitals":                 {delta(`好\uD83D`) + delta(`\uDE00`), "好😀"},
		"with an empty delta between": {delta(`\ud83d`) + delta(``) + delta(`\ude00`), "😀"},
		"with a ping between":         {delta(`\ud83d`) + "event: ping\n\n" + delta(`\ude00`), "😀"},
		"with a node between":         {delta(`\ud83d`) + ev("node_started", `,"data":{"node_type":"llm"}`) + delta(`\ude00`), "😀"},
		"with a file between":         {delta(`\ud83d`) + file(`,"url":"https://x/y.png"`) + delta(`\ude00`), "😀"},
		"of an agent":                 {ev("agent_message", `,"answer":"\ud83d"`) + ev("agent_message", `,"answer":"\ude00"`), "😀"},
		"in message_file deltas":      {ev("message_file", `,"answer":"\ud83d"`) + ev("message_file", `,"answer":"\ude00"`), "😀"},
		"twice":                       {delta(`\ud83d`) + delta(`\ude00\ud83d`) + delta(`\ude01`), "😀😁"},
		"whole":                       {delta(`\ud83d\ude00`), "😀"},
		"whole among text":            {delta(`a\ud83d\ude00b`), "a😀b"},
		"the half of a family":        {delta(`\ud83d\udc68\u200d\ud83d`) + delta(`\udc69`), "👨‍👩"},
		"the first half alone":        {delta(`a\ud83d`) + delta(`b`), "a\ufffdb"},
		"the second half alone":       {delta(`a`) + delta(`\ude00b`), "a\ufffdb"},
		"the wrong way round":         {delta(`\ude00`) + delta(`\ud83d`) + delta(`x`), "\ufffd\ufffdx"},
		"two first halves":            {delta(`\ud83d`) + delta(`\ud83d\ude00`), "\ufffd😀"},
		"a first half at the end":     {delta(`a\ud83d`), "a"},
		"nothing but a half":          {delta(`\ud83d`), ""},
		"a half before a replacement": {delta(`\ud83d`) + ev("message_replace", `,"answer":"好"`), "好"},
		"as UTF-8 of halves":          {delta("\xed\xa0\xbd") + delta("\xed\xb8\x80"), "😀"},
		"a byte that is no text":      {delta("a\xffb"), "a\ufffdb"},
	} {
		t.Run(name, func(t *testing.T) {
			in := c.in + ev("message_end", "")
			for how, r := range map[string]io.Reader{"whole": strings.NewReader(in), "byte by byte": iotest.OneByteReader(strings.NewReader(in))} {
				if a, err := replay(t, r); err != nil || a.Text != c.want {
					t.Errorf("%s: %q, %v; want %q", how, a.Text, err, c.want)
				}
			}
		})
	}
}

// However an answer is cut into deltas and its characters are escaped, its text is the same.
func TestTextIsWholeHoweverItIsSplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.StringOfN(rapid.RuneFrom([]rune("a好\"\\\n😀👨\u200d\u0001é")), 0, 40, -1).Draw(t, "text")
		var units []string // of UTF-16, escaped
		for _, r := range want {
			if r > 0xFFFF {
				r -= 0x10000
				units = append(units, fmt.Sprintf(`\u%04x`, 0xD800|r>>10), fmt.Sprintf(`\u%04X`, 0xDC00|r&0x3FF))
			} else {
				units = append(units, fmt.Sprintf(`\u%04x`, r))
			}
		}
		noise := rapid.SampledFrom([]string{"", "event: ping\n\n", ev("message", `,"answer":""`), ev("node_started", `,"data":{"node_type":"llm"}`), ": comment\n\n"})
		var in strings.Builder
		for len(units) > 0 {
			n := rapid.IntRange(1, len(units)).Draw(t, "length")
			in.WriteString(ev("message", `,"answer":"`+strings.Join(units[:n], "")+`"`) + noise.Draw(t, "noise"))
			units = units[n:]
		}
		sizes := rapid.SliceOfN(rapid.IntRange(1, 200), 1, 10).Draw(t, "sizes")
		resp := &pieces{[]byte(in.String() + ev("message_end", "")), sizes}
		c, err := dify.New(dify.Target{BaseURL: "http://x", Key: secret}, dify.Options{Transport: streaming(resp)})
		if err != nil {
			t.Fatal(err)
		}
		a, err := c.Chat(context.Background(), ask(), nil)
		if err != nil || a.Text != want {
			t.Fatalf("%q, %v; want %q", a.Text, err, want)
		}
	})
}

func TestModerationEndsAnAnswer(t *testing.T) {
	const bad, good = `,"answer":"坏话"`, `,"answer":"此回答不便展示。"`
	reset := errors.New("connection reset by peer")
	begin := ev("workflow_started", "") + ev("message", bad) + ev("message_replace", good+`,"reason":"output_moderation"`)
	for name, c := range map[string]struct {
		then string
		err  error
	}{
		"the end":                     {then: ev("message_end", end)},
		"a run that succeeded":        {then: ev("workflow_finished", `,"data":{"status":"succeeded","outputs":{"answer":"坏话"}}`)},
		"a run that was stopped":      {then: ev("workflow_finished", `,"data":{"status":"stopped","error":"Stopped by user."}`)},
		"a run that failed":           {then: ev("workflow_finished", `,"data":{"status":"failed","error":"moderated","outputs":{"answer":"坏话"}}`)},
		"a run that partly succeeded": {then: ev("workflow_finished", `,"data":{"status":"partial-succeeded"}`)},
		"a status of its own":         {then: ev("workflow_finished", `,"data":{"status":"moderated"}`)},
		"an error":                    {then: ev("error", `,"code":"internal_server_error","status":500`)},
		"the end of the stream":       {},
		"a broken stream":             {err: reset},
		"a broken event":              {then: `data: {"event":"messa`, err: reset},
		"more of the model's":         {then: ev("message", bad) + ev("message_end", end)},
		"more of an agent's":          {then: ev("agent_message", bad) + ev("message", bad) + ev("message_end", end)},
		"a pause":                     {then: ev("workflow_paused", `,"data":{}`)},
	} {
		t.Run(name, func(t *testing.T) {
			body := io.Reader(strings.NewReader(begin + c.then))
			if c.err != nil {
				body = io.MultiReader(body, iotest.ErrReader(c.err))
			}
			a, err := replay(t, body)
			if err != nil || a.Text != "此回答不便展示。" || !a.Moderated || a.Stopped || a.Cut {
				t.Errorf("answer %+v, error %v", a, err)
			}
		})
	}
	a, err := replay(t, strings.NewReader(begin+ev("message_replace", `,"answer":"最后"`)+ev("message_end", end)))
	if err != nil || a.Text != "最后" || a.Usage.PromptTokens != 1 {
		t.Errorf("moderated twice: %+v, %v", a, err)
	}
}

func TestWhatAQuestionMayHaveDone(t *testing.T) {
	node := func(kind string) string {
		return ev("node_started", `,"data":{"id":"x","node_id":"n","node_type":"`+kind+`","title":"t"}`)
	}
	started := ev("workflow_started", "")
	reset := errors.New("connection reset by peer")
	for name, c := range map[string]struct {
		in      string
		err     error // that the stream ends with
		effects dify.Effects
		retries int
	}{
		"nothing came":                        {err: reset, effects: dify.MaybeEffects, retries: once},
		"a ping":                              {in: "event: ping\n\n", err: reset, effects: dify.MaybeEffects, retries: once},
		"the run has started":                 {in: started, err: reset, effects: dify.MaybeEffects, retries: once},
		"the start node ran":                  {in: started + node("start"), err: reset, effects: dify.MaybeEffects, retries: once},
		"a node began":                        {in: started + node("start") + node("http-request"), err: reset, effects: dify.BegunEffects},
		"a node began, and the stream ended":  {in: started + node("tool"), err: io.EOF, effects: dify.BegunEffects},
		"a node began and was all that came":  {in: node("llm"), err: reset, effects: dify.BegunEffects},
		"a node finished":                     {in: ev("node_finished", `,"data":{"node_type":"code","outputs":{}}`), err: reset, effects: dify.BegunEffects},
		"a node is tried again":               {in: ev("node_retry", `,"data":{"node_type":"code"}`), err: reset, effects: dify.BegunEffects},
		"a node of no type":                   {in: ev("node_started", `,"data":{}`), err: reset, effects: dify.BegunEffects},
		"a loop began":                        {in: ev("loop_started", `,"data":{}`), err: reset, effects: dify.BegunEffects},
		"an iteration began":                  {in: ev("iteration_started", ""), err: reset, effects: dify.BegunEffects},
		"an agent within a node":              {in: ev("agent_log", ""), err: reset, effects: dify.BegunEffects},
		"an agent thinks":                     {in: ev("agent_thought", `,"tool":"","thought":"x"`), err: reset, effects: dify.MaybeEffects, retries: once},
		"an agent calls a tool":               {in: ev("agent_thought", `,"tool":"send_mail"`), err: reset, effects: dify.BegunEffects},
		"an agent thinks, then calls a tool":  {in: ev("agent_thought", `,"tool":""`) + ev("agent_thought", `,"thought":"x","tool":"a;b"`), err: reset, effects: dify.BegunEffects},
		"members in another order":            {in: `data: {"data":{"title":"x","node_type":"llm"},"event":"node_started"}` + "\n\n", err: reset, effects: dify.BegunEffects},
		"the model is busy":                   {in: ev("error", `,"code":"completion_request_error","status":400,"message":"[x] Rate Limit Error, slow"`), retries: many},
		"the model is busy, behind a node":    {in: started + node("llm") + ev("error", `,"code":"invalid_param","status":400,"message":"Run failed: [x] Rate Limit Error, slow"`), effects: dify.BegunEffects},
		"the model fails in a way of its own": {in: ev("error", `,"code":"completion_request_error","status":400,"message":"boom"`), retries: once},
		"the run failed":                      {in: started + ev("workflow_finished", `,"data":{"status":"failed","error":"[x] Connection Error, y"}`), effects: dify.BegunEffects},
		"Dify failed":                         {in: ev("error", `,"code":"internal_server_error","status":500`), retries: many},
		"Dify failed, behind an agent's tool": {in: ev("agent_thought", `,"tool":"x"`) + ev("error", `,"code":"internal_server_error","status":500`), effects: dify.BegunEffects},
	} {
		t.Run(name, func(t *testing.T) {
			body := io.Reader(strings.NewReader(c.in))
			if c.err != nil {
				body = io.MultiReader(body, iotest.ErrReader(c.err))
			}
			var last dify.Update
			a, err := clientOf(t, streaming(body)).Chat(t.Context(), ask(), func(u dify.Update) { last = u })
			e, ok := errors.AsType[*dify.Error](err)
			if !ok || e.Effects != c.effects || retriesOf(e) != c.retries {
				t.Fatalf("error %v, effects %d, %d retries; want %d, %d", err, e.Effects, retriesOf(e), c.effects, c.retries)
			}
			if begun := strings.Contains(c.in, "node_") && c.effects == dify.BegunEffects; begun && (!a.Begun || !last.Begun) {
				t.Errorf("answer %+v, update %+v", a, last)
			}
		})
	}
}

func TestARunThatGoesOnWithoutItsStream(t *testing.T) {
	started := ev("workflow_started", "")
	for name, c := range map[string]struct {
		in, version string
		want        bool
	}{
		"a chatflow of 1.13":         {started, "1.13.3", true},
		"a later one":                {started, "2.0.0", true},
		"one that hides its version": {started, "", true},
		"one of 1.12":                {started, "1.12.1", false},
		"an old one":                 {started, "0.6.5", false},
		"with text":                  {started + ev("message", `,"answer":"一"`), "1.14.2", true},
		"a chat":                     {ev("message", `,"answer":"一"`), "1.13.3", false},
		"an agent":                   {ev("agent_thought", ""), "1.13.3", false},
		"nothing came":               {"event: ping\n\n", "1.13.3", false},
	} {
		c2 := clientOf(t, func(*http.Request) (*http.Response, error) {
			r := response(http.StatusOK, "text/event-stream", strings.NewReader(c.in))
			if c.version != "" {
				r.Header.Set("X-Version", c.version)
			}
			return r, nil
		})
		_, err := c2.Chat(t.Context(), ask(), nil)
		if e, ok := errors.AsType[*dify.Error](err); !ok || e.Kind != dify.Interrupted || e.RunContinues != c.want {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
