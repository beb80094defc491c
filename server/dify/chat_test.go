package dify_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
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

const (
	greeting   = "您好，我是智能客服小达，请问有什么可以帮您？"
	shipped    = "您好，您的订单已于今天上午发出，预计三天内送达。"
	looking    = "正在为您查询，请稍候。结果如下：一切正常。"
	lookingCut = "正在为您查询，请稍候。结"
	refused    = "抱歉，该回答不便展示。"
	preset     = "抱歉，您的问题包含不便讨论的内容。"
	thinking   = "<think>\n用户在问天气。我需要先确认城市，再给出建议。\n</think>\n\n今天多云，最高 26℃，出门可以带一件薄外套。"
)

var (
	synthUsage = dify.Usage{PromptTokens: 1033, CompletionTokens: 135, TotalTokens: 1168, TotalPrice: 0.001303, Currency: "RMB"}
	used       = func(in, out int) dify.Usage {
		return dify.Usage{PromptTokens: in, CompletionTokens: out, TotalTokens: in + out, Currency: "USD"}
	}
	picture  = dify.AnswerFile{Name: "x.png", Type: "image", URL: "https://dify.example.com/files/tools/x.png?sign=3"}
	document = func(name, url string) dify.AnswerFile {
		return dify.AnswerFile{Name: name, Type: "document", MIMEType: "application/x", URL: url, Size: 5}
	}
	refund = &dify.Pause{RunID: "w", Forms: []dify.Form{{ID: "f", Title: "退款审批", Content: "请确认退款 100 元", Actions: []dify.FormAction{{ID: "ok", Title: "同意"}, {ID: "no", Title: "拒绝"}}}}}
	drawn  = dify.AnswerFile{Name: "0d6a1f2b.png", Type: "image", URL: "https://dify.example.com/files/tools/0d6a1f2b.png?timestamp=1767225600&nonce=ab&sign=cd"}
)

// outcome is what a recorded stream must give. An answer without digest is compared by its text.
type outcome struct {
	text      string
	digest    string // SHA-256 of a long text
	kind      dify.Kind
	code      string
	usage     dify.Usage
	stopped   bool
	pause     *dify.Pause
	moderated bool
	begun     bool // a node or a tool has begun to run
	noIDs     bool // no event has the ids
	files     []dify.AnswerFile
	hold      bool // the server keeps the connection after the last byte
}

var streams = map[string]outcome{
	"agent-function-call-thoughts.1.13.3.sse":                   {text: "我需要先查询一下当前时间。现在是上午十点整，门店已经开始营业。", usage: used(39, 28), begun: true},
	"agent-react-no-tool.0.6.5.sse":                             {text: greeting, usage: used(12, 22)},
	"agent-react-no-tool.1.13.3.sse":                            {text: greeting, usage: used(12, 22)},
	"chat-empty-answer.1.13.3.sse":                              {usage: used(15, 0)},
	"chat-error-first-event.0.6.5.sse":                          {kind: dify.ModelBusy, code: "completion_request_error"},
	"chat-error-first-event.1.13.3.sse":                         {kind: dify.ModelBusy, code: "completion_request_error"},
	"chat-error-midstream.1.13.3.sse":                           {text: "您好，我是智能客服", kind: dify.ModelBusy, code: "completion_request_error"},
	"chat-error-plugin-exception.1.13.3.sse":                    {kind: dify.ModelError, code: "completion_request_error"},
	"chat-image-answer-in-message_file-events.1.12.1.sse":       {text: greeting, usage: used(14, 22)},
	"chat-image-answer.1.13.3.sse":                              {text: greeting, usage: used(14, 22)},
	"chat-long-markdown-6k.0.6.5.sse":                           {digest: "df97fc55de8ab25ae5ee5337d16d63f7fdcf258a4ef2471059971091e5952fd8", usage: used(2, 4067)},
	"chat-long-markdown-6k.1.13.3.sse":                          {digest: "df97fc55de8ab25ae5ee5337d16d63f7fdcf258a4ef2471059971091e5952fd8", usage: used(14, 6051)},
	"chat-moderation-input-preset.1.13.3.sse":                   {text: preset, usage: used(0, 0)},
	"chat-moderation-replace-at-end.0.6.5.sse":                  {text: refused, usage: used(3, 168), moderated: true},
	"chat-moderation-replace-at-end.1.13.3.sse":                 {text: refused, usage: used(17, 168), moderated: true},
	"chat-moderation-replace-unflagged-same-text.0.6.5.sse":     {text: greeting, usage: used(2, 22), moderated: true},
	"chat-ping-interleaved.0.6.5.sse":                           {text: looking, usage: used(2, 21)},
	"chat-ping-interleaved.1.13.3.sse":                          {text: looking, usage: used(14, 21)},
	"chat-simple.0.6.5.sse":                                     {text: greeting, usage: used(2, 22)},
	"chat-simple.1.13.3.sse":                                    {text: greeting, usage: used(12, 22)},
	"chat-stopped.1.13.3.sse":                                   {text: lookingCut, usage: used(0, 0)},
	"chat-think-block.0.6.5.sse":                                {text: thinking, usage: used(4, 50)},
	"chat-think-block.1.13.3.sse":                               {text: thinking, usage: used(18, 64)},
	"chatflow-empty-answer.1.13.3.sse":                          {usage: used(15, 0), begun: true},
	"chatflow-hang-only-ping.1.13.3.sse":                        {kind: dify.Interrupted, noIDs: true},
	"chatflow-midstream.0.6.5.sse":                              {text: "您好，我是智能客服", usage: used(4, 9), begun: true},
	"chatflow-midstream.1.13.3.sse":                             {text: "您好，我是智能客服", kind: dify.ModelBusy, begun: true},
	"chatflow-moderation-input-no-workflow.1.13.3.sse":          {text: preset, usage: used(0, 0), hold: true},
	"chatflow-moderation-replace-before-message_end.1.13.3.sse": {text: refused, usage: used(17, 168), begun: true, moderated: true},
	"chatflow-node-failed.0.6.5.sse":                            {kind: dify.ModelBusy, begun: true},
	"chatflow-node-failed.1.13.3.sse":                           {kind: dify.ModelBusy, begun: true},
	"chatflow-ping-interleaved.1.13.3.sse":                      {text: looking, usage: used(14, 21), begun: true},
	"chatflow-simple.0.6.5.sse":                                 {text: greeting, usage: used(4, 22), begun: true},
	"chatflow-simple.1.12.1.sse":                                {text: greeting, usage: used(12, 22), begun: true},
	"chatflow-simple.1.13.3.sse":                                {text: greeting, usage: used(12, 22), begun: true},
	"chatflow-stopped-no-message_end.1.13.3.sse":                {text: lookingCut, stopped: true, begun: true},
	"fault-file-documents-in-end.sse": {text: "两份文件：", files: []dify.AnswerFile{
		document("报告.docx", "https://dify.example.com/files/tools/y.docx?sign=3"), document("表.xlsx", "https://dify.example.com/files/tools/z.xlsx?sign=4"),
	}},
	"fault-file-image-after-text.sse":                  {text: "画好了。", files: []dify.AnswerFile{picture}},
	"fault-file-image-only.sse":                        {files: []dify.AnswerFile{picture}},
	"fault-file-image-relative.sse":                    {text: "画好了。", files: []dify.AnswerFile{{Name: "x.png", Type: "image", URL: "https://dify.example.com/files/tools/x.png?timestamp=1&nonce=2&sign=3"}}},
	"fault-file-relative-link-in-message.sse":          {text: "[报告.docx](/files/tools/y.docx?timestamp=1&nonce=2&sign=3)", files: []dify.AnswerFile{document("报告.docx", "https://dify.example.com/files/tools/y.docx?timestamp=1&nonce=2&sign=3")}},
	"fault-nan-beside-a-delta.sse":                     {text: "甲乙"},
	"fault-nan-in-message-end.sse":                     {text: "答案。"},
	"fault-nan-in-node-ok.sse":                         {text: "答案。", begun: true},
	"fault-paused-after-text.sse":                      {text: "已为您提交退款申请。", pause: refund},
	"fault-paused-form-only.sse":                       {pause: refund, noIDs: true},
	"fault-surrogate-lone-at-end.sse":                  {text: "A"},
	"fault-surrogates-split-empty-between.sse":         {text: "好😀"},
	"fault-surrogates-split.sse":                       {text: "😀好"},
	"synth-agent-message-file-new.sse":                 {text: "图片已经画好，请查收。", usage: synthUsage, files: []dify.AnswerFile{drawn}, begun: true},
	"synth-agent-message-file-relative-url-old.sse":    {text: "图片已经画好。", usage: synthUsage, files: []dify.AnswerFile{drawn}},
	"synth-chat-annotation-reply-new.sse":              {text: shipped, usage: synthUsage},
	"synth-chat-citations-new.sse":                     {text: shipped, usage: synthUsage},
	"synth-chat-error-model_currently_not_support.sse": {kind: dify.ModelMisconfigured, code: "model_currently_not_support"},
	"synth-chat-error-provider_not_initialize.sse":     {kind: dify.ModelMisconfigured, code: "provider_not_initialize"},
	"synth-chat-error-provider_quota_exceeded.sse":     {kind: dify.QuotaExceeded, code: "provider_quota_exceeded"},
	"synth-chat-error-quota-old.sse":                   {kind: dify.QuotaExceeded, code: "provider_quota_exceeded"},
	"synth-chat-null-answer-new.sse":                   {text: shipped, usage: synthUsage},
	"synth-chat-think-only-close-tag-new.sse":          {text: "先判断用户意图，再回答。\n</think>\n\n支持七天无理由退货。", usage: synthUsage},
	"synth-chat-think-only-no-answer-new.sse":          {text: "<think>\n只有思考没有答案\n</think>\n\n", usage: synthUsage},
	"synth-chat-tts-autoplay-new.sse":                  {text: shipped, usage: synthUsage},
	"synth-chatflow-1.13.0-no-message-end.sse":         {text: shipped, usage: dify.Usage{TotalTokens: 1168}, begun: true},
	"synth-chatflow-huge-node-event-new.sse":           {text: shipped, usage: synthUsage, begun: true},
	"synth-chatflow-human-input-paused-new.sse": {text: "您的退款金额较大，需要人工确认。", begun: true, pause: &dify.Pause{RunID: "c3800678-1111-4222-8333-9a8b7c6d5e04", Forms: []dify.Form{{
		ID: "f1", Token: "tok", Title: "人工审核", Content: "请确认退款", Actions: []dify.FormAction{{ID: "approve", Title: "同意"}}, Expires: time.Unix(1767312000, 0),
	}}}},
	"synth-chatflow-noise-events-new.sse":        {text: shipped, usage: synthUsage, begun: true},
	"synth-chatflow-worker-error-input.sse":      {kind: dify.InputRefused, noIDs: true, hold: true},
	"synth-newagent-closing-message-new.sse":     {text: shipped, usage: synthUsage},
	"synth-transport-comment-and-empty-data.sse": {text: shipped, usage: synthUsage},
	"synth-transport-crlf.sse":                   {text: shipped, usage: synthUsage},
	"synth-transport-no-final-blank-line.sse":    {text: shipped, usage: synthUsage},
}

// differs says how an answer is not the outcome.
func (o *outcome) differs(a dify.Answer, err error) string {
	if sum := sha256.Sum256([]byte(a.Text)); o.digest != "" && hex.EncodeToString(sum[:]) != o.digest {
		return fmt.Sprintf("text of %d bytes has another digest", len(a.Text))
	}
	if o.digest == "" && a.Text != o.text {
		return "text: " + cmp.Diff(o.text, a.Text)
	}
	if dify.KindOf(err) != o.kind || (err == nil) != (o.kind == "") {
		return fmt.Sprintf("error %v, want kind %q", err, o.kind)
	}
	if e, ok := errors.AsType[*dify.Error](err); ok && e.Code != o.code {
		return fmt.Sprintf("code %q, want %q", e.Code, o.code)
	}
	if a.Usage != o.usage || a.Stopped != o.stopped || a.Cut || a.Moderated != o.moderated || a.Begun != o.begun {
		return fmt.Sprintf("usage %+v, stopped %t, cut %t, moderated %t, begun %t", a.Usage, a.Stopped, a.Cut, a.Moderated, a.Begun)
	}
	if d := cmp.Diff(o.pause, a.Pause); d != "" {
		return "pause: " + d
	}
	if has := len(a.ConversationID) == 36; has == o.noIDs {
		return fmt.Sprintf("conversation %q", a.ConversationID)
	}
	return cmp.Diff(o.files, a.Files)
}

func TestChatAnswersAsEveryRecordedStreamDoes(t *testing.T) {
	for _, name := range names(t, "sse") {
		want, ok := streams[name]
		if !ok {
			t.Errorf("%s has no row in the table", name)
			continue
		}
		t.Run(name, func(t *testing.T) {
			body := fixture(t, "sse/"+name)
			c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
				_, _ = w.Write(body)
				if want.hold {
					flush(t, w)
					<-r.Context().Done()
				}
			}, dify.Options{})
			var last dify.Update
			a, err := c.Chat(t.Context(), ask(), func(u dify.Update) { last = u })
			if relative := strings.Contains(name, "relative"); relative && len(a.Files) == 1 {
				if !strings.HasPrefix(a.Files[0].URL, "http://127.0.0.1:") {
					t.Errorf("relative URL became %q", a.Files[0].URL)
				}
				_, path, _ := strings.Cut(a.Files[0].URL, "/files/")
				a.Files[0].URL = "https://dify.example.com/files/" + path
			}
			if d := want.differs(a, err); d != "" {
				t.Error(d)
			}
			if got := (dify.Update{Text: a.Text, ConversationID: a.ConversationID, TaskID: a.TaskID, MessageID: a.MessageID, Begun: a.Begun}); last != got {
				t.Errorf("last update %+v is not the answer", last)
			}
		})
	}
	for name := range streams {
		fixture(t, "sse/"+name) // a row without a stream fails here
	}
}

// cuttable are streams of every shape, small enough to cut everywhere.
var cuttable = []string{
	"agent-function-call-thoughts.1.13.3.sse", "chat-error-midstream.1.13.3.sse", "chat-moderation-replace-unflagged-same-text.0.6.5.sse",
	"chat-image-answer-in-message_file-events.1.12.1.sse", "chat-simple.0.6.5.sse", "chat-stopped.1.13.3.sse", "chatflow-simple.1.12.1.sse",
	"chatflow-midstream.1.13.3.sse", "chatflow-stopped-no-message_end.1.13.3.sse", "synth-chatflow-human-input-paused-new.sse",
	"synth-newagent-closing-message-new.sse", "synth-transport-crlf.sse", "synth-transport-comment-and-empty-data.sse",
}

func TestChatNeverInventsTextWhenAStreamIsCut(t *testing.T) {
	reset := errors.New("connection reset by peer")
	for _, name := range cuttable {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body, want := fixture(t, "sse/"+name), streams[name]
			var cut *bytes.Reader
			var end io.Reader
			c := clientOf(t, func(*http.Request) (*http.Response, error) {
				return response(http.StatusOK, "text/event-stream", io.MultiReader(cut, end)), nil
			})
			stride := 1
			if len(body) > 3200 { // the longer ones repeat themselves; odd, so that both ends come
				stride = 7
			}
			for n := 0; n < len(body); n += stride {
				cut, end = bytes.NewReader(body[:n]), iotest.ErrReader([]error{io.EOF, reset}[n%2])
				a, err := c.Chat(t.Context(), ask(), nil)
				if !strings.HasPrefix(want.text, a.Text) {
					t.Fatalf("cut at %d: text %q is not of the answer", n, a.Text)
				}
				switch kind := dify.KindOf(err); {
				case err == nil && a.Text != want.text:
					t.Fatalf("cut at %d: %q is taken for the answer", n, a.Text)
				case err != nil && kind != dify.Interrupted && kind != want.kind:
					t.Fatalf("cut at %d: error %v", n, err)
				case kind == dify.Interrupted && n%2 == 1 && !errors.Is(err, reset):
					t.Fatalf("cut at %d: the cause is lost: %v", n, err)
				}
			}
		})
	}
}

func TestChatAnswersTheSameHoweverBytesArrive(t *testing.T) {
	for _, name := range names(t, "sse") {
		if body := fixture(t, "sse/"+name); len(body) < 100<<10 {
			want := streams[name]
			if d := want.differs(replay(t, iotest.OneByteReader(bytes.NewReader(body)))); d != "" {
				t.Errorf("%s byte by byte: %s", name, d)
			}
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		name := rapid.SampledFrom(cuttable).Draw(rt, "stream")
		sizes := rapid.SliceOfN(rapid.IntRange(1, 700), 1, 40).Draw(rt, "sizes")
		want := streams[name]
		if d := want.differs(replay(t, &pieces{fixture(t, "sse/"+name), sizes})); d != "" {
			rt.Fatal(d)
		}
	})
}

// pieces delivers bytes in pieces of given sizes, beginning again with the first.
type pieces struct {
	rest  []byte
	sizes []int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.rest[:min(p.sizes[0], len(p.rest))])
	p.rest = p.rest[n:]
	p.sizes = append(p.sizes[1:], p.sizes[0])
	return n, nil
}

// ev is a stream's event with the members that all have.
func ev(name, rest string) string {
	return `data: {"event":"` + name + `","conversation_id":"c1","message_id":"m1","task_id":"t1"` + rest + "}\n\n"
}

const end = `,"metadata":{"usage":{"prompt_tokens":1,"completion_tokens":2,"total_price":"0.5","currency":"USD"}}`

func TestChatKnowsTheOdditiesOfReleases(t *testing.T) {
	ids := dify.Answer{ConversationID: "c1", TaskID: "t1", MessageID: "m1"}
	moderated := ids
	moderated.Moderated = true
	answer := func(f func(*dify.Answer)) dify.Answer { a := ids; f(&a); return a }
	cost := dify.Usage{PromptTokens: 1, CompletionTokens: 2, TotalTokens: 3, TotalPrice: 0.5, Currency: "USD"}
	cases := map[string]struct {
		in   string
		want dify.Answer
		kind dify.Kind
	}{
		"outputs stand in for deltas that never came": {
			in:   ev("workflow_started", "") + ev("workflow_finished", `,"data":{"status":"succeeded","outputs":{"answer":"全文"}}`),
			want: answer(func(a *dify.Answer) { a.Text = "全文" }),
		},
		"outputs after message_end stand in too": {
			in: ev("workflow_started", "") + ev("message_end", end) +
				ev("workflow_finished", `,"data":{"status":"partial-succeeded","outputs":{"answer":"全文"}}`),
			want: answer(func(a *dify.Answer) { a.Text, a.Usage = "全文", cost }),
		},
		"a run that failed tells what it has used": {
			in:   ev("workflow_started", "") + ev("workflow_finished", `,"data":{"status":"failed","error":"no","total_tokens":77}`),
			want: answer(func(a *dify.Answer) { a.Usage.TotalTokens = 77 }), kind: dify.WorkflowFailed,
		},
		"a stopped run has used as much as its last event says": {
			in: ev("workflow_started", "") + ev("workflow_finished", `,"data":{"status":"stopped","total_tokens":77}`) +
				ev("message_end", `,"metadata":{"usage":{"total_tokens":0}}`),
			want: answer(func(a *dify.Answer) { a.Usage.TotalTokens, a.Stopped = 77, true }),
		},
		"outputs never undo a moderation, even to nothing": {
			in: ev("workflow_started", "") + ev("message", `,"answer":"坏话"`) + ev("message_replace", `,"answer":""`) +
				ev("workflow_finished", `,"data":{"status":"succeeded","outputs":{"answer":"坏话"}}`) + ev("message_end", end),
			want: answer(func(a *dify.Answer) { a.Usage, a.Moderated = cost, true }),
		},
		"outputs never undo a moderation before any text": {
			in: ev("workflow_started", "") + ev("message_replace", `,"answer":""`) +
				ev("workflow_finished", `,"data":{"status":"succeeded","outputs":{"answer":"坏话"}}`),
			want: moderated,
		},
		"a moderation after workflow_finished counts": {
			in: ev("workflow_started", "") + ev("message", `,"answer":"坏话"`) +
				ev("workflow_finished", `,"data":{"status":"succeeded","outputs":{"answer":"坏话"}}`) +
				ev("message_replace", `,"answer":"好话"`) + ev("message_end", end),
			want: answer(func(a *dify.Answer) { a.Text, a.Usage, a.Moderated = "好话", cost, true }),
		},
		"a stop by another user ends like a failure and is none": {
			in: ev("workflow_started", "") +
				ev("workflow_finished", `,"data":{"status":"failed","error":"Aborted: User requested stop","outputs":{"answer":"全文"}}`),
			want: answer(func(a *dify.Answer) { a.Text, a.Stopped = "全文", true }),
		},
		"outputs of other types are no answer": {
			in:   ev("workflow_started", "") + ev("workflow_finished", `,"data":{"status":"succeeded","outputs":{"answer":{"x":1}}}`),
			want: ids,
		},
		"a closing message replaces what the agent said once": {
			in: ev("agent_message", `,"answer":"先说"`) + ev("message", `,"answer":""`) + ev("message", `,"answer":"全"`) +
				ev("message", `,"answer":"文"`) + ev("message_end", end),
			want: answer(func(a *dify.Answer) { a.Text, a.Usage = "全文", cost }),
		},
		"a file of the user's is not the answer's": {
			in: ev("message_file", `,"belongs_to":"user","url":"https://x/y.png"`) +
				ev("message_file", `,"belongs_to":"assistant","url":"javascript:alert(1)"`) + ev("message_end", end),
			want: answer(func(a *dify.Answer) { a.Usage = cost }),
		},
		"files of a chatflow come at the end": {
			in: ev("workflow_started", "") + ev("message", `,"answer":"图"`) +
				ev("message_end", end+`,"files":[{"type":"document","url":"","remote_url":"https://x/y.pdf","filename":"y.pdf","mime_type":"application/pdf","size":9},{"type":"image"}]`),
			want: answer(func(a *dify.Answer) {
				a.Text, a.Usage = "图", cost
				a.Files = []dify.AnswerFile{{Type: "document", URL: "https://x/y.pdf", Name: "y.pdf", MIMEType: "application/pdf", Size: 9}}
			}),
		},
		"members in another order": {
			in:   `data: {"answer":"一","task_id":"t1","conversation_id":"c1","message_id":"m1","event":"message"}` + "\n\n" + ev("message_end", end),
			want: answer(func(a *dify.Answer) { a.Text, a.Usage = "一", cost }),
		},
		"ids that come late": {
			in: `data: {"event":"node_started"}` + "\n\n" + `data: {"event":"message","answer":"一"}` + "\n\n" +
				`data: {"event":"message","answer":"二","conversation_id":"c1"}` + "\n\n" + ev("message_end", end),
			want: answer(func(a *dify.Answer) { a.Text, a.Usage, a.Begun = "一二", cost, true }),
		},
		"the first conversation id counts": {
			in:   ev("message", `,"answer":"一"`) + `data: {"event":"message","answer":"二","conversation_id":"c2"}` + "\n\n" + ev("message_end", ""),
			want: answer(func(a *dify.Answer) { a.Text = "一二" }),
		},
		"prices as numbers, nonsense prices": {
			in:   ev("message_end", `,"metadata":{"usage":{"total_price":0.25}}`),
			want: answer(func(a *dify.Answer) { a.Usage.TotalPrice = 0.25 }),
		},
		"a price that is none":    {in: ev("message_end", `,"metadata":{"usage":{"total_price":"NaN"}}`), want: ids},
		"metadata that is none":   {in: ev("message_end", `,"metadata":null,"files":{}`), want: ids},
		"data that is no event":   {in: "data: [DONE]\n\ndata: 5\n\ndata: {}\n\n" + ev("message_end", ""), want: ids},
		"a ping that has data":    {in: `data: {"event":"ping"}` + "\n\n" + ev("message_end", ""), want: ids},
		"an escaped event's name": {in: `data: {"event":"mess\u0061ge_end","conversation_id":"c1","message_id":"m1","task_id":"t1"}` + "\n\n", want: ids},
		"an id too long to be one": {
			in:   `data: {"event":"message_end","conversation_id":"` + strings.Repeat("c", 200) + `"}` + "\n\n",
			want: dify.Answer{},
		},
		"nothing but foreign data": {in: "data: hello\n\n", kind: dify.BadResponse},
		"nothing at all":           {in: "", kind: dify.Interrupted},
		"only a ping with data":    {in: `data: {"event": "ping"}` + "\n\n", kind: dify.Interrupted},
		"text without an end":      {in: ev("message", `,"answer":"一"`), want: answer(func(a *dify.Answer) { a.Text = "一" }), kind: dify.Interrupted},
		"an error without a status": {
			in: `data: {"event":"error","code":"internal_server_error","message":"x"}` + "\n\n", kind: dify.Server,
		},
		"a worker's error about a conversation": {
			in: `data: {"event":"error","message":"Conversation Not Exists.","status":500}` + "\n\n", kind: dify.ConversationGone,
		},
		"a worker's nameless error without a conversation": {
			in: `data: {"event":"error","message":"","status":500}` + "\n\n", kind: dify.Server,
		},
		"a worker's concurrency limit": {
			in: `data: {"event":"error","message":"Too many requests. Please try","status":500}` + "\n\n", kind: dify.RateLimited,
		},
		"an over-long node event": {
			in: ev("message", `,"answer":"一"`) + ev("node_finished", `,"x":"`+strings.Repeat("x", 17<<20)+`"`) +
				ev("message", `,"answer":"二"`) + ev("message_end", end),
			want: answer(func(a *dify.Answer) { a.Text, a.Usage, a.Begun = "一二", cost, true }),
		},
		"an over-long end of the workflow": {
			in:   ev("message", `,"answer":"一"`) + ev("workflow_finished", `,"x":"`+strings.Repeat("x", 17<<20)+`"`),
			want: answer(func(a *dify.Answer) { a.Text = "一" }),
		},
		"an over-long end of the message": {
			in:   ev("message", `,"answer":"一"`) + ev("message_end", `,"x":"`+strings.Repeat("x", 17<<20)+`"`) + "data: [",
			want: answer(func(a *dify.Answer) { a.Text = "一" }),
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := replay(t, strings.NewReader(c.in))
			if dify.KindOf(err) != c.kind || (err == nil) != (c.kind == "") {
				t.Errorf("error %v, want kind %q", err, c.kind)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

func TestChatBoundsTheTextAtACharacter(t *testing.T) {
	delta := ev("message", `,"answer":"`+strings.Repeat("好", 9999)+`"`)
	got, err := replay(t, strings.NewReader(strings.Repeat(delta, 20)+ev("message_end", end)))
	if err != nil || !got.Cut {
		t.Fatalf("cut %t, error %v", got.Cut, err)
	}
	if want := strings.Repeat("好", dify.MaxText/3); got.Text != want {
		t.Errorf("text has %d bytes, want %d", len(got.Text), len(want))
	}
	if got.Usage.CompletionTokens != 2 {
		t.Error("the end was not read")
	}
	got, err = replay(t, strings.NewReader(strings.Repeat(delta, 20)+ev("message_replace", `,"answer":"短"`)+ev("message_end", end)))
	if err != nil || got.Cut || got.Text != "短" {
		t.Errorf("after a replacement: cut %t, %d bytes, error %v", got.Cut, len(got.Text), err)
	}
}

func TestChatBoundsTheFiles(t *testing.T) {
	var in strings.Builder
	for i := range 99 {
		in.WriteString(ev("message_file", fmt.Sprintf(`,"belongs_to":"assistant","type":"image","url":"/files/%d.png"`, i)))
	}
	got, err := replay(t, strings.NewReader(in.String()+ev("message_end", "")))
	if err != nil || len(got.Files) != 32 {
		t.Errorf("%d files, error %v", len(got.Files), err)
	}
}

func TestChatTellsOfEveryChangeOnce(t *testing.T) {
	in := ev("workflow_started", "") + "event: ping\n\n" + ev("node_started", "") + ev("message", `,"answer":"一"`) +
		ev("message", `,"answer":""`) + ev("message", `,"answer":"二"`) + ev("message_replace", `,"answer":"一二"`) +
		ev("message_replace", `,"answer":"三"`) + ev("message_end", end)
	var texts []string
	c := clientOf(t, streaming(strings.NewReader(in)))
	_, err := c.Chat(t.Context(), ask(), func(u dify.Update) {
		if u.TaskID != "t1" || u.ConversationID != "c1" || u.MessageID != "m1" {
			t.Errorf("update without ids: %+v", u)
		}
		texts = append(texts, u.Text)
	})
	if d := cmp.Diff([]string{"", "", "一", "一二", "三"}, texts); err != nil || d != "" {
		t.Errorf("error %v, updates (-want +got)\n%s", err, d)
	}
}
