package dify_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"path"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/wechatbot/wechatbot-operator/server/dify"
)

// FuzzChat answers with any bytes.
func FuzzChat(f *testing.F) {
	for _, name := range names(f, "sse") {
		if b := fixture(f, path.Join("sse", name)); len(b) < 8<<10 {
			f.Add(b)
		}
	}
	f.Add([]byte(ev("workflow_finished", `,"data":{"status":"failed","error":"x"}`)))
	f.Fuzz(func(t *testing.T, in []byte) {
		var last dify.Update
		a, err := clientOf(t, streaming(bytes.NewReader(in))).Chat(context.Background(), ask(), func(u dify.Update) {
			if u == last {
				t.Fatal("an update without a change")
			}
			last = u
		})
		if (err == nil) != (dify.KindOf(err) == "") {
			t.Fatalf("an error of no kind: %v", err)
		}
		if last.Text != a.Text || last.ConversationID != a.ConversationID || last.TaskID != a.TaskID {
			t.Fatal("the last update is not the answer")
		}
		if len(a.Text) > dify.MaxText || !utf8.ValidString(a.Text) {
			t.Fatalf("text of %d bytes, valid %t", len(a.Text), utf8.ValidString(a.Text))
		}
		if a.Text != "" && !bytes.Contains(in, []byte("answer")) && !bytes.Contains(bytes.ToLower(in), []byte("answer")) &&
			!bytes.Contains(in, []byte(`\u`)) {
			t.Fatal("text from nowhere")
		}
	})
}

func BenchmarkChat(b *testing.B) {
	for _, name := range []string{
		"chat-long-markdown-6k.0.6.5.sse", "chat-long-markdown-6k.1.13.3.sse", "chatflow-simple.1.13.3.sse",
		"synth-chatflow-huge-node-event-new.sse",
	} {
		b.Run(strings.TrimSuffix(name, ".sse"), func(b *testing.B) {
			in := fixture(b, path.Join("sse", name))
			c := clientOf(b, func(*http.Request) (*http.Response, error) {
				return response(http.StatusOK, "text/event-stream", io.Reader(bytes.NewReader(in))), nil
			})
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Chat(context.Background(), ask(), func(dify.Update) {}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
