package wechatsim

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wechatbot/wechatbot-operator/server/wechat"
	"github.com/wechatbot/wechatbot-operator/testdata"
)

func judging(t testing.TB, mode Mode) *Platform {
	t.Helper()
	p, err := New(testAccount(mode), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestFixtureReplies judges every file of the shared replies; a new file needs a line here.
func TestFixtureReplies(t *testing.T) {
	want := map[string]Reply{
		"empty.txt":   {},
		"success.txt": {},
		"image.xml":   {Type: "image", MediaID: "media_id"},
		"music.xml":   {Type: "music", MediaID: "media_id", Text: "标题", Description: "描述"},
		"news.xml": {Type: "news", Text: "标题", Description: "描述",
			Links: []Link{{Label: "标题", URL: "https://example.com/"}}},
		"text.xml":           {Type: "text", Text: "我们 21:00 关门。"},
		"text_cdata_end.xml": {Type: "text", Text: "a]]>b"},
		"text_encrypted.xml": {Type: "text", Text: "我们 21:00 关门。"},
		"text_links.xml": {
			Type: "text",
			Text: `<a href="https://www.example.com/">网页</a>` + "\n" +
				`<a href="weixin://bizmsgmenu?msgmenucontent=%E6%8D%A2%E4%B8%80%E6%89%B9&msgmenuid=next">换一批</a>` + "\n" +
				`<a data-miniprogram-appid="wxfedcba9876543210" data-miniprogram-path="pages/index/index" href="https://www.example.com/">小程序</a>`,
			Links: []Link{
				{Label: "网页", URL: "https://www.example.com/"},
				{Label: "换一批", URL: "weixin://bizmsgmenu?msgmenucontent=%E6%8D%A2%E4%B8%80%E6%89%B9&msgmenuid=next", Send: "换一批", MenuID: "next"},
				{Label: "小程序", URL: "https://www.example.com/", AppID: "wxfedcba9876543210", Path: "pages/index/index"},
			},
		},
		"transfer_customer_service.xml":         {Type: "transfer_customer_service"},
		"transfer_customer_service_account.xml": {Type: "transfer_customer_service", KfAccount: "test1@gh_3f1c9a7e52b0"},
		"video.xml":                             {Type: "video", MediaID: "media_id", Text: "标题", Description: "描述"},
		"voice.xml":                             {Type: "voice", MediaID: "media_id"},
	}
	files, err := testdata.WeChat.ReadDir("wechat/replies")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(want) {
		t.Errorf("%d files, %d expectations", len(files), len(want))
	}
	for _, file := range files {
		t.Run(file.Name(), func(t *testing.T) {
			body, err := testdata.WeChat.ReadFile("wechat/replies/" + file.Name())
			if err != nil {
				t.Fatal(err)
			}
			expected, ok := want[file.Name()]
			if !ok {
				t.Fatal("no expectation")
			}
			for _, mode := range []Mode{Plain, Compatible, Secure} {
				reply, verdict, encrypted := judging(t, mode).judge(body, testOpenID, true)
				wantVerdict := verdictOfFixture(expected, mode, encrypted)
				if verdict != wantVerdict {
					t.Errorf("%s mode: %s, want %s", mode, verdict, wantVerdict)
				}
				if verdict != Answered {
					expected := Reply{}
					if d := cmp.Diff(expected, reply); d != "" {
						t.Errorf("%s mode: a refused reply has content (-want +got):\n%s", mode, d)
					}
					continue
				}
				if d := cmp.Diff(expected, reply); d != "" {
					t.Errorf("%s mode (-want +got):\n%s", mode, d)
				}
			}
		})
	}
}

func verdictOfFixture(expected Reply, mode Mode, encrypted bool) Verdict {
	switch {
	case expected.Type == "":
		return Acknowledged
	case encrypted && mode == Plain:
		return "illegal reply: encrypted in plain mode"
	case !encrypted && mode == Secure:
		return "illegal reply: not encrypted in secure mode"
	default:
		return Answered
	}
}

func TestIllegalReplies(t *testing.T) {
	legal := textReply(testOpenID, testOriginal, "fine")
	replace := func(old, with string) string {
		if !strings.Contains(legal, old) {
			t.Fatalf("%q is not in the reply", old)
		}
		return strings.Replace(legal, old, with, 1)
	}
	members := func(msgType, members string) string {
		return replace("<MsgType><![CDATA[text]]></MsgType><Content><![CDATA[fine]]></Content>", "<MsgType>"+msgType+"</MsgType>"+members)
	}
	article := "<item><Title>t</Title><Description></Description><PicUrl></PicUrl><Url>https://p.example/</Url></item>"
	tests := []struct{ name, body, reason string }{
		{"JSON", `{"errcode":0}`, "neither XML nor success"},
		{"HTML", "<html><body>502</body></html>", "neither XML nor success"},
		{"success and a line end", "success\n", "neither XML nor success"},
		{"quoted success", `"success"`, "neither XML nor success"},
		{"another root", strings.NewReplacer("<xml>", "<reply>", "</xml>", "</reply>").Replace(legal), "neither XML nor success"},
		{"a byte order mark", "\uFEFF" + legal, "bytes before <xml>"},
		{"a blank line", "\n" + legal, "bytes before <xml>"},
		{"a declaration", `<?xml version="1.0"?>` + legal, "bytes before <xml>"},
		{"cut off", legal[:len(legal)-8], "not well-formed XML"},
		{"text after it", legal + "notice", "more than one XML root"},
		{"two roots", legal + legal, "more than one XML root"},
		{"a bare ampersand", replace("<![CDATA[fine]]>", "a & b"), "not well-formed XML"},
		{"an unsplit CDATA end", replace("fine", "a]]>b"), "not well-formed XML"},
		{"a forbidden reference", replace("<![CDATA[fine]]>", "a&#1;b"), "not well-formed XML"},
		{"a DTD", replace("<ToUserName>", "<!DOCTYPE x><ToUserName>"), "a DTD"},
		{"a control character", replace("fine", "a\x08b"), "characters illegal in XML 1.0"},
		{"a noncharacter", replace("fine", "a\uFFFEb"), "characters illegal in XML 1.0"},
		{"half a character", replace("fine", "\xe6\x88"), "not UTF-8"},
		{"gzip", "\x1f\x8b\x08\x00", "not UTF-8"},
		{"too large", replace("fine", strings.Repeat("a", maxReply)), "more than 64 KiB"},
		{"an element twice", replace("<CreateTime>", "<CreateTime>1</CreateTime><CreateTime>"), "an element twice"},
		{"not swapped", textReply(testOriginal, testOpenID, "fine"), "ToUserName and FromUserName not swapped"},
		{"to another follower", textReply("oSomeoneElse", testOriginal, "fine"), "ToUserName is not the follower"},
		{"to nobody", textReply("", testOriginal, "fine"), "ToUserName is not the follower"},
		{"from the AppID", textReply(testOpenID, testAppID, "fine"), "FromUserName is the AppID, not the original id"},
		{"from another account", textReply(testOpenID, "gh_other", "fine"), "FromUserName is not the account"},
		{"no CreateTime", replace("<CreateTime>1767225601</CreateTime>", ""), "CreateTime is not an integer"},
		{"CreateTime a date", replace("1767225601", "2026-01-01"), "CreateTime is not an integer"},
		{"no MsgType", replace("<MsgType><![CDATA[text]]></MsgType>", ""), "no MsgType"},
		{"an unknown MsgType", replace("[text]", "[markdown]"), "an unknown MsgType"},
		{"no Content", replace("<Content><![CDATA[fine]]></Content>", ""), "an empty Content"},
		{"an empty Content", replace("fine", ""), "an empty Content"},
		{"a blank Content", replace("fine", " \n　"), "an empty Content"},
		{"one byte too long", replace("fine", strings.Repeat("中", 682)+"abc"), "a Content of more than 2,048 bytes"},
		{"an image without its element", members("image", "<MediaId>m</MediaId>"), "a image without MediaId"},
		{"an image without media", members("image", "<Image><MediaId></MediaId></Image>"), "a image without MediaId"},
		{"a voice without media", members("voice", "<Voice></Voice>"), "a voice without MediaId"},
		{"a video without media", members("video", "<Video><Title>t</Title></Video>"), "a video without MediaId"},
		{"music without a cover", members("music", "<Music><Title>t</Title></Music>"), "a music without ThumbMediaId"},
		{"two articles", members("news", "<ArticleCount>2</ArticleCount><Articles>"+article+article+"</Articles>"), "not exactly one article"},
		{"no article", members("news", "<ArticleCount>0</ArticleCount><Articles></Articles>"), "not exactly one article"},
		{"no articles element", members("news", "<ArticleCount>1</ArticleCount>"), "not exactly one article"},
		{"a wrong count", members("news", "<ArticleCount>2</ArticleCount><Articles>"+article+"</Articles>"), "not exactly one article"},
		{"an article without address", members("news", "<ArticleCount>1</ArticleCount><Articles>"+strings.Replace(article, "https://p.example/", "", 1)+"</Articles>"), "an incomplete article"},
		{"an article without picture", members("news", "<ArticleCount>1</ArticleCount><Articles>"+strings.Replace(article, "<PicUrl></PicUrl>", "", 1)+"</Articles>"), "an incomplete article"},
		{"a transfer to no agent", members("transfer_customer_service", "<TransInfo></TransInfo>"), "a TransInfo without KfAccount"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			reply, verdict, _ := judging(t, Plain).judge([]byte(test.body), testOpenID, true)
			if want := Verdict("illegal reply: " + test.reason); verdict != want || !verdict.Illegal() || !verdict.Failed() {
				t.Errorf("verdict %q, want %q", verdict, want)
			}
			if reply.Type != "" {
				t.Errorf("a refused reply has content: %+v", reply)
			}
			if strings.Contains(test.body, "\xe6\x88") || test.reason == "more than 64 KiB" || test.reason == "more than one XML root" {
				return
			}
			_, verdict, encrypted := judging(t, Secure).judge([]byte(sealed(t, test.body, "1", "n")), testOpenID, true)
			if !verdict.Illegal() || !encrypted || !strings.HasSuffix(string(verdict), test.reason) {
				t.Errorf("sealed: verdict %q, want %q", verdict, test.reason)
			}
		})
	}
}

func TestLegalReplies(t *testing.T) {
	tests := []struct{ name, body, text string }{
		{"exactly 2,048 bytes", textReply(testOpenID, testOriginal, strings.Repeat("中", 682)+"ab"), strings.Repeat("中", 682) + "ab"},
		{"no CDATA", "<xml><ToUserName>" + testOpenID + "</ToUserName><FromUserName>" + testOriginal +
			"</FromUserName><CreateTime>1</CreateTime><MsgType>text</MsgType><Content>a &lt; b &amp; c</Content></xml>", "a < b & c"},
		{"milliseconds, comments, a last line end", strings.Replace(textReply(testOpenID, testOriginal, "x"), "1767225601", "1767225601000", 1) + "<!-- end -->\n", "x"},
		{"an unknown element", strings.Replace(textReply(testOpenID, testOriginal, "x"), "<CreateTime>", "<FuncFlag>0</FuncFlag><CreateTime>", 1), "x"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			reply, verdict, _ := judging(t, Plain).judge([]byte(test.body), testOpenID, true)
			if verdict != Answered || reply.Text != test.text {
				t.Errorf("judged %s %q, want the text", verdict, reply.Text)
			}
		})
	}
}

func TestIllegalEnvelopes(t *testing.T) {
	good := sealed(t, textReply(testOpenID, testOriginal, "fine"), "1767225601", "nonce")
	other, err := wechat.NewCipher(testKey, "wxanother")
	if err != nil {
		t.Fatal(err)
	}
	stranger := other.Seal([16]byte{}, []byte(textReply(testOpenID, testOriginal, "fine")))
	before, rest, _ := strings.Cut(good, "<MsgSignature>")
	_, afterwards, _ := strings.Cut(rest, "</MsgSignature>")
	tests := []struct{ name, body, reason string }{
		{"signed with something else", strings.Replace(good, "<TimeStamp>1767225601", "<TimeStamp>1767225602", 1), "a wrong MsgSignature"},
		{"no signature", before + afterwards, "a wrong MsgSignature"},
		{"no nonce", strings.Replace(good, "<![CDATA[nonce]]>", "", 1), "an incomplete envelope"},
		{"no timestamp", strings.Replace(good, "1767225601", "", 1), "an incomplete envelope"},
		{"nothing encrypted", "<xml><Encrypt></Encrypt></xml>", "an incomplete envelope"},
		{"another AppID", "<xml><Encrypt>" + stranger + "</Encrypt><MsgSignature>" + wechat.Sign(testToken, "1", "n", stranger) +
			"</MsgSignature><TimeStamp>1</TimeStamp><Nonce>n</Nonce></xml>", "undecryptable"},
		{"success, encrypted", sealed(t, "success", "1", "n"), "in the envelope neither XML nor success"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, mode := range []Mode{Compatible, Secure} {
				_, verdict, encrypted := judging(t, mode).judge([]byte(test.body), testOpenID, true)
				if verdict != Verdict("illegal reply: "+test.reason) || !encrypted {
					t.Errorf("%s mode: verdict %q, want %q", mode, verdict, test.reason)
				}
			}
		})
	}
}

func TestRepliesToEventsThatAllowNone(t *testing.T) {
	p := judging(t, Plain)
	for _, body := range []string{"", "success"} {
		if _, verdict, _ := p.judge([]byte(body), testOpenID, false); verdict != Acknowledged {
			t.Errorf("%q is judged %s", body, verdict)
		}
	}
	if _, verdict, _ := p.judge([]byte(textReply(testOpenID, testOriginal, "x")), testOpenID, false); verdict != "illegal reply: a reply to an event that allows none" {
		t.Errorf("verdict %s", verdict)
	}
}

// TestJudgeNeverPanics feeds it mutations of a legal reply.
func TestJudgeNeverPanics(t *testing.T) {
	p := judging(t, Compatible)
	seeds := []string{textReply(testOpenID, testOriginal, "fine"), sealed(t, textReply(testOpenID, testOriginal, "fine"), "1", "n")}
	rapid.Check(t, func(t *rapid.T) {
		body := []byte(rapid.SampledFrom(seeds).Draw(t, "seed"))
		from := rapid.IntRange(0, len(body)).Draw(t, "from")
		to := rapid.IntRange(from, min(len(body), from+20)).Draw(t, "to")
		mutated := append(append(append([]byte{}, body[:from]...), rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, "insert")...), body[to:]...)
		reply, verdict, _ := p.judge(mutated, testOpenID, true)
		if (verdict == Answered) != (reply.Type != "") {
			t.Errorf("verdict %s with reply %+v", verdict, reply)
		}
	})
}

func BenchmarkJudgeText(b *testing.B) {
	p := judging(b, Plain)
	body := []byte(textReply(testOpenID, testOriginal, "我们 21:00 关门。"))
	b.ReportAllocs()
	for b.Loop() {
		if _, verdict, _ := p.judge(body, testOpenID, true); verdict != Answered {
			b.Fatal(verdict)
		}
	}
}
