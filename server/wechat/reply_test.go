package wechat

import (
	"bytes"
	"encoding/xml"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// replyFixtures write the manifest's replies; nil for bodies that are not XML, and for kinds that only other servers send.
var replyFixtures = map[string]Reply{
	"replies/text.xml":           Text{"我们 21:00 关门。"},
	"replies/text_encrypted.xml": Text{"我们 21:00 关门。"},
	"replies/text_cdata_end.xml": Text{"a]]>b"},
	"replies/text_links.xml": Text{`<a href="https://www.example.com/">网页</a>` + "\n" + TapLink("换一批", "换一批", "next") + "\n" +
		`<a data-miniprogram-appid="wxfedcba9876543210" data-miniprogram-path="pages/index/index" href="https://www.example.com/">小程序</a>`},
	"replies/transfer_customer_service.xml":         TransferCustomerService{},
	"replies/transfer_customer_service_account.xml": TransferCustomerService{"test1@gh_3f1c9a7e52b0"},
	"replies/empty.txt":                             nil,
	"replies/image.xml":                             nil,
	"replies/music.xml":                             nil,
	"replies/news.xml":                              nil,
	"replies/success.txt":                           nil,
	"replies/video.xml":                             nil,
	"replies/voice.xml":                             nil,
}

// node is an XML element as far as WeChat can tell: order counts, CDATA or not does not.
type node struct {
	Name     string
	Text     string
	Children []node
}

func parseTree(tb testing.TB, doc []byte) node {
	tb.Helper()
	decoder := xml.NewDecoder(bytes.NewReader(doc))
	stack := []node{{}}
	for {
		token, err := decoder.Token()
		if err != nil {
			break
		}
		top := &stack[len(stack)-1]
		switch token := token.(type) {
		case xml.StartElement:
			stack = append(stack, node{Name: token.Name.Local})
		case xml.CharData:
			top.Text += string(token)
		case xml.EndElement:
			stack = stack[:len(stack)-1]
			parent := &stack[len(stack)-1]
			parent.Children = append(parent.Children, *top)
		}
	}
	if len(stack) != 1 || len(stack[0].Children) != 1 || decoder.InputOffset() != int64(len(doc)) {
		tb.Fatalf("not one well-formed document: %q", doc)
	}
	return stack[0].Children[0]
}

func (n node) child(name string) string {
	for _, c := range n.Children {
		if c.Name == name {
			return c.Text
		}
	}
	return ""
}

func openText(tb testing.TB, m *manifest, sealed bool) (*Account, *Push) {
	tb.Helper()
	if !sealed {
		a := m.plain(tb)
		p, err := a.Open(plainQuery(m.Token, m.Now), readFixture(tb, "messages/text.xml"), m.now())
		if err != nil {
			tb.Fatal(err)
		}
		return a, p
	}
	a := m.secure(tb)
	q, body := sealedPush(mustCipher(tb, m.EncodingAESKey, m.AppID), m.Token, m.Now, readFixture(tb, "messages/text.xml"))
	p, err := a.Open(q, body, m.now())
	if err != nil {
		tb.Fatal(err)
	}
	return a, p
}

// unsealReply checks an encrypted reply as WeChat does and returns what is inside.
func unsealReply(tb testing.TB, token string, c *Cipher, reply []byte, now time.Time) []byte {
	tb.Helper()
	envelope := parseTree(tb, reply)
	encrypt := envelope.child("Encrypt")
	if got := envelope.child("MsgSignature"); got != Sign(token, envelope.child("TimeStamp"), envelope.child("Nonce"), encrypt) {
		tb.Fatalf("MsgSignature %q does not match", got)
	}
	if got := envelope.child("TimeStamp"); got != strconv.FormatInt(now.Unix(), 10) {
		tb.Fatalf("TimeStamp is %q", got)
	}
	inner, err := c.Open(encrypt)
	if err != nil {
		tb.Fatal(err)
	}
	return inner
}

func TestReplyFixtures(t *testing.T) {
	m := loadManifest(t)
	now := time.Unix(m.Now+1, 0)
	c := mustCipher(t, m.EncodingAESKey, m.AppID)
	if string(readFixture(t, "replies/success.txt")) != Success {
		t.Errorf("Success is %q", Success)
	}
	for file, reply := range replyFixtures {
		if reply == nil {
			continue
		}
		t.Run(file, func(t *testing.T) {
			sealed := strings.Contains(file, "encrypted")
			want := readFixture(t, file)
			a, p := openText(t, m, sealed)
			got, err := a.Reply(p, reply, now)
			if err != nil {
				t.Fatal(err)
			}
			if sealed {
				if diff := cmp.Diff(names(parseTree(t, want)), names(parseTree(t, got))); diff != "" {
					t.Errorf("envelopes differ (-want +got):\n%s", diff)
				}
				want, got = unsealReply(t, m.Token, c, want, now), unsealReply(t, m.Token, c, got, now)
			}
			if diff := cmp.Diff(parseTree(t, want), parseTree(t, got)); diff != "" {
				t.Errorf("replies differ (-want +got):\n%s", diff)
			}
			if bytes.HasPrefix(got, []byte("<?")) || !bytes.HasPrefix(got, []byte("<xml>")) {
				t.Error("WeChat wants nothing before <xml>")
			}
		})
	}
}

func names(n node) (all []string) {
	for _, c := range n.Children {
		all = append(all, c.Name)
	}
	return all
}

func TestReplyRefusesWhatWeChatShowsAsAFault(t *testing.T) {
	m := loadManifest(t)
	for name, reply := range map[string]Reply{
		"empty text":                    Text{},
		"blank text":                    Text{" \n　"},
		"text of nothing but controls":  Text{"\x00\x01"},
		"text of nothing but bad UTF-8": Text{"\xff\xfe"},
		"text one byte too long":        Text{repeat("a", MaxTextBytes+1)},
	} {
		for _, sealed := range []bool{false, true} {
			a, p := openText(t, m, sealed)
			if got, err := a.Reply(p, reply, m.now()); err == nil {
				t.Errorf("%s (sealed %v): reply is %q, want an error", name, sealed, got)
			}
		}
	}
}

func TestReplyTextOfExactlyTheLimitIsSent(t *testing.T) {
	m := loadManifest(t)
	a, p := openText(t, m, false)
	got, err := a.Reply(p, Text{"\x00" + repeat("字", MaxTextBytes/3) + "ab"}, m.now())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(parseTree(t, got).child("Content")); n != MaxTextBytes {
		t.Errorf("content has %d bytes, want %d", n, MaxTextBytes)
	}
}

// dirtyText draws what a language model, a Markdown renderer or an attacker might put into a reply.
func dirtyText() *rapid.Generator[string] {
	piece := rapid.OneOf(
		rapid.String(),
		rapid.SampledFrom([]string{
			"]]>", "]]", "]", ">", "<![CDATA[", "&", "&amp;", "\r\n", "\r", "\n", "\x00", "\x0b", "\ufffe", "\uffff", "\ufffd", "\xff",
			"\xed\xa0\x80", "</Content>", "<a href=\"weixin://x\">", "字", "😀", "--", "?>",
		}),
	)
	return rapid.Map(rapid.SliceOfN(piece, 0, 12), func(pieces []string) string { return strings.Join(pieces, "") })
}

// sanitised is the documented cleaning of a reply's text, by code points.
func sanitised(s string) string {
	s = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(bytes.ToValidUTF8([]byte(s), nil)))
	return string(stripForbidden([]byte(s)))
}

func TestAnyTextReplyParsesBack(t *testing.T) {
	m := loadManifest(t)
	c := mustCipher(t, m.EncodingAESKey, m.AppID)
	plainAccount, plainPush := openText(t, m, false)
	secureAccount, sealedPush := openText(t, m, true)
	rapid.Check(t, func(rt *rapid.T) {
		content := dirtyText().Draw(rt, "content")
		want := sanitised(content)
		if strings.TrimSpace(want) == "" || len(want) > MaxTextBytes {
			return
		}
		plain, err := plainAccount.Reply(plainPush, Text{content}, m.now())
		if err != nil {
			rt.Fatal(err)
		}
		sealed, err := secureAccount.Reply(sealedPush, Text{content}, m.now())
		if err != nil {
			rt.Fatal(err)
		}
		for _, doc := range [][]byte{plain, unsealReply(t, m.Token, c, sealed, m.now())} {
			tree := parseTree(t, doc)
			if got := tree.child("Content"); got != want {
				rt.Fatalf("content %q reads back as %q, want %q", content, got, want)
			}
			if tree.child("ToUserName") != m.OpenID || tree.child("FromUserName") != m.OriginalID {
				rt.Fatal("sender and receiver are not swapped")
			}
		}
	})
}

func TestAnyOtherReplyParsesBack(t *testing.T) {
	m := loadManifest(t)
	a, p := openText(t, m, false)
	rapid.Check(t, func(rt *rapid.T) {
		text := dirtyText().Draw(rt, "text")
		doc, err := a.Reply(p, TransferCustomerService{"m" + text}, m.now())
		if err != nil {
			rt.Fatal(err)
		}
		tree := parseTree(t, doc)
		last := tree.Children[len(tree.Children)-1]
		if got, want := last.child("KfAccount"), "m"+sanitised(text); last.Name != "TransInfo" || got != want {
			rt.Fatalf("%s has %q, want %q", last.Name, got, want)
		}
	})
}

func TestSealedRepliesNeverRepeatTheirRandomness(t *testing.T) {
	m := loadManifest(t)
	a, p := openText(t, m, true)
	seen := map[string]bool{}
	for range 50 {
		reply, err := a.Reply(p, Text{"同一句"}, m.now())
		if err != nil {
			t.Fatal(err)
		}
		tree := parseTree(t, reply)
		for _, fresh := range []string{tree.child("Nonce"), tree.child("Encrypt")} {
			if seen[fresh] {
				t.Fatalf("%q was used before", fresh)
			}
			seen[fresh] = true
		}
	}
}

func TestTapLink(t *testing.T) {
	for name, tc := range map[string]struct{ label, send, id, want string }{
		"plain":           {"继续", "1", "next", `<a href="weixin://bizmsgmenu?msgmenucontent=1&msgmenuid=next">继续</a>`},
		"space and quote": {"a", `a b+"c"`, "x y", `<a href="weixin://bizmsgmenu?msgmenucontent=a%20b%2B%22c%22&msgmenuid=x%20y">a</a>`},
		"hostile label":   {"</a>\n<b>\x00", "1", "1", `<a href="weixin://bizmsgmenu?msgmenucontent=1&msgmenuid=1">＜/a＞ ＜b＞</a>`},
		"hostile send":    {"a", "1&msgmenuid=2\">", "1", `<a href="weixin://bizmsgmenu?msgmenucontent=1%26msgmenuid%3D2%22%3E&msgmenuid=1">a</a>`},
		"line break":      {"a", "一\n二", "", `<a href="weixin://bizmsgmenu?msgmenucontent=%E4%B8%80%0A%E4%BA%8C&msgmenuid=">a</a>`},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, TapLink(tc.label, tc.send, tc.id)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
