package render

import (
	"strings"
	"testing"
)

func TestText_Files(t *testing.T) {
	o := Options{Origin: "http://api.example.com:8080/", FilesOrigin: "https://files.example.com"}
	report := File{Name: "报告.docx", Type: "document", URL: "/files/tools/y.docx?timestamp=1&nonce=2&sign=3"}
	const link = `<a href="https://files.example.com/files/tools/y.docx?timestamp=1&nonce=2&sign=3">报告.docx</a>`
	for _, c := range []struct {
		name, markdown string
		files          []File
		want           string
	}{
		{"below text", "好了。", []File{report}, "好了。\n\n" + link},
		{"alone", "", []File{report}, link},
		{"behind reasoning alone", "<think>想</think>\n", []File{report}, link},
		{"several", "文", []File{report, {Type: "image", URL: "https://a.b/x.png"}, {Type: "audio", URL: "https://a.b/x.mp3"}, {Type: "video", URL: "https://a.b/x.mp4"}, {Type: "custom", URL: "https://a.b/x"}},
			"文\n\n" + link + "\n" + `<a href="https://a.b/x.png">图片</a>` + "\n" + `<a href="https://a.b/x.mp3">音频</a>` + "\n" + `<a href="https://a.b/x.mp4">视频</a>` + "\n" + `<a href="https://a.b/x">文件</a>`},
		{"named twice", "", []File{report, report}, link},
		{"named twice, signed anew", "", []File{report, {Name: "b", URL: "https://other.example.com/files/tools/y.docx?timestamp=9&nonce=8&sign=7"}}, link},
		{"linked by the text", "[报告](/files/tools/y.docx?timestamp=1&nonce=2&sign=3)", []File{report}, strings.ReplaceAll(link, "报告.docx", "报告")},
		{"linked by the text with another signature", "[报告](https://d.example.com/files/tools/y.docx?timestamp=5&nonce=6&sign=7)", []File{report},
			`<a href="https://d.example.com/files/tools/y.docx?timestamp=5&nonce=6&sign=7">报告</a>`},
		{"linked by the text as a picture of HTML", `<img src="/files/tools/y.docx?sign=3" alt="图">`, []File{report}, `<a href="https://files.example.com/files/tools/y.docx?sign=3">图</a>`},
		{"address in the text", "见 https://a.b/x.png。", []File{{Name: "x", URL: "https://a.b/x.png"}}, "见 https://a.b/x.png。"},
		{"an address that only begins alike", "[a](https://a.b/x.png2)", []File{{Name: "x", URL: "https://a.b/x.png"}}, `<a href="https://a.b/x.png2">a</a>` + "\n\n" + `<a href="https://a.b/x.png">x</a>`},
		{"other files of one address", "[a](https://a.b/get?id=1)", []File{{Name: "x", URL: "https://a.b/get?id=2"}}, `<a href="https://a.b/get?id=1">a</a>` + "\n\n" + `<a href="https://a.b/get?id=2">x</a>`},
		{"an address that cannot be linked", "", []File{{Name: "x.png", URL: "file:///x.png"}}, "x.png"},
		{"names that look like tags", "", []File{{Name: "<a href=\"x\">\n\x01y</a>", URL: "https://a.b/x y"}}, `<a href="https://a.b/x%20y">＜a href="x"> y＜/a></a>`},
		{"a long name", "", []File{{Name: strings.Repeat("长", 200), URL: "https://a.b/x"}}, `<a href="https://a.b/x">` + strings.Repeat("长", 80) + "</a>"},
		{"a link longer than a page", "", []File{{Name: "x", URL: "https://a.b/" + strings.Repeat("x", 2000)}}, "x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Text(c.markdown, c.files, o)
			if got != c.want {
				t.Errorf("\n got %q\nwant %q", got, c.want)
			}
			checkText(t, got)
			for i := range len(c.markdown) + 1 {
				if part := Partial(c.markdown[:i], o); !strings.HasPrefix(got, part) {
					t.Errorf("after %d bytes: %q", i, part)
				}
			}
		})
	}
}

func TestText_RelativeFiles(t *testing.T) {
	const md = "[a](/files/x) ![b](/files/y) <img src=/files/z alt=c>"
	if got, want := Text(md, []File{{Name: "d", URL: "/files/w"}}, Options{}), "a b c\n\nd"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for origin, root := range map[string]string{
		"https://d.example.com": "https://d.example.com", "https://d.example.com/v1/": "https://d.example.com", "https://d.example.com//": "https://d.example.com",
		"http://[::1]:5001/v1": "http://[::1]:5001", "https://d.example.com/dify/v1": "https://d.example.com/dify", "https://d.example.com/a/dify": "https://d.example.com/a/dify",
	} {
		if got, want := Text("[a](/files/x)", nil, Options{Origin: origin}), `<a href="`+root+`/files/x">a</a>`; got != want {
			t.Errorf("%s: %q, want %q", origin, got, want)
		}
	}
}

func TestText_LinkLongerThanPage(t *testing.T) {
	target := "https://s3.example.com/a?X-Amz-Security-Token=" + strings.Repeat("A", 1930)
	text := textOf("[附件](" + target + ") 说明。" + strings.Repeat("好。", 400))
	if !strings.HasPrefix(text, "附件 说明。") {
		t.Errorf("%q", clip(text, 100))
	}
	fits := textOf(strings.Repeat("好。", 100) + "[附件](" + clip(target, 1400) + ") 说明。" + strings.Repeat("好。", 400))
	for from := 0; from < len(fits); {
		end, next := Page(fits, from, 1700)
		checkText(t, strings.TrimSpace(fits[from:end]))
		from = next
	}
	if got, want := Text("[附件](https://a.b/c)", nil, Options{MaxLink: 20}), "附件"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := Text("[a](https://a.b/c)", nil, Options{MaxLink: len(`<a href="https://a.b/c">a</a>`)}); !strings.HasPrefix(got, "<a") {
		t.Errorf("%q", got)
	}
}

func TestText_English(t *testing.T) {
	got := Text(`![](https://a.b/x) <audio src="https://a.b/y"></audio>`, []File{{URL: "https://a.b/z"}}, Options{English: true})
	if want := `<a href="https://a.b/x">image</a> <a href="https://a.b/y">audio</a>` + "\n\n" + `<a href="https://a.b/z">file</a>`; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
