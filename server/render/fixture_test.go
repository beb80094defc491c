package render

import (
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wechatbot/wechatbot-operator/testdata"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// answers returns the answers of the recorded streams that have one, by file name.
func answers(t testing.TB) map[string]string {
	t.Helper()
	files, err := fs.Glob(testdata.Dify, "dify/sse/*.sse")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recorded streams: %v", err)
	}
	all := map[string]string{}
	for _, file := range files {
		b, err := testdata.Dify.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if a := answer(string(b)); a != "" {
			all[file[strings.LastIndexByte(file, '/')+1:]] = a
		}
	}
	return all
}

// answer joins the answer members of a stream.
func answer(stream string) string {
	var b strings.Builder
	for line := range strings.Lines(stream) {
		data, ok := strings.CutPrefix(line, "data:")
		if !ok {
			continue
		}
		var event struct{ Event, Answer string }
		if json.Unmarshal([]byte(data), &event) != nil {
			continue
		}
		switch event.Event {
		case "message", "agent_message":
			b.WriteString(event.Answer)
		case "message_replace":
			b.Reset()
			b.WriteString(event.Answer)
		}
	}
	return b.String()
}

func TestText_RecordedAnswers(t *testing.T) {
	all := answers(t)
	for _, c := range []struct{ stream, golden string }{
		{"chat-long-markdown-6k.1.13.3.sse", "long-markdown"},
		{"chat-long-markdown-6k.0.6.5.sse", "long-markdown"},
		{"chat-think-block.1.13.3.sse", "think-block"},
		{"chat-think-block.0.6.5.sse", "think-block"},
		{"synth-chat-think-only-close-tag-new.sse", "think-only-close-tag"},
	} {
		t.Run(c.stream, func(t *testing.T) {
			src, ok := all[c.stream]
			if !ok {
				t.Fatal("the stream has no answer")
			}
			got := textOf(src) + "\n"
			file := "testdata/" + c.golden + ".txt"
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	if got := textOf(all["synth-chat-think-only-no-answer-new.sse"]); got != "" {
		t.Errorf("an answer that is only reasoning renders as %q", got)
	}
}
