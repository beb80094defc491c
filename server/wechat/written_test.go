package wechat

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// head is what every push begins with; tail what messages end with.
const (
	sender = "oTk5q6WcY7bZr-0PqX2mN8sLdE4A"
	head   = "<xml><ToUserName><![CDATA[gh_3f1c9a7e52b0]]></ToUserName>\n<FromUserName><![CDATA[" + sender + "]]></FromUserName>\n" +
		"<CreateTime>1767225600</CreateTime>\n"
	tail = "<MsgId>25231685381080100</MsgId>\n</xml>"
)

// layout is a push with a place for what a follower has written.
type layout struct {
	name          string
	before, after string
	field         func(*Push) string
	msgType       string
	id            bool // it has a MsgId
}

func element(name, value string) string {
	return "<" + name + "><![CDATA[" + value + "]]></" + name + ">\n"
}

// around is a layout in which the text is in an element.
func around(name, kind, element, before, after string, field func(*Push) string) layout {
	return layout{
		name: name, before: head + "<MsgType><![CDATA[" + kind + "]]></MsgType>\n" + before + "<" + element + "><![CDATA[",
		after: "]]></" + element + ">\n" + after, field: field, msgType: kind, id: strings.Contains(before+after, "<MsgId>"),
	}
}

// layouts have every text that a follower has a say in.
var layouts = []layout{
	around("text", "text", "Content", "", tail, func(p *Push) string { return p.Content }),
	around("text, the id before it", "text", "Content", "<MsgId>25231685381080100</MsgId>\n", "<bizmsgmenuid>1</bizmsgmenuid></xml>", func(p *Push) string { return p.Content }),
	around("text, nothing behind it", "text", "Content", "", "</xml>", func(p *Push) string { return p.Content }),
	around("voice", "voice", "Recognition", element("MediaId", "m")+element("Format", "amr"), tail, func(p *Push) string { return p.Recognition }),
	around("place", "location", "Label", "<Location_X>30.5</Location_X><Location_Y>104.0</Location_Y><Scale>16</Scale>", tail, func(p *Push) string { return p.Label }),
	around("link's title", "link", "Title", "", element("Description", "d")+element("Url", "https://x")+tail, func(p *Push) string { return p.Title }),
	around("link's description", "link", "Description", element("Title", "t"), element("Url", "https://x")+tail, func(p *Push) string { return p.Description }),
	around("link's address", "link", "Url", element("Title", "t")+element("Description", "d"), tail, func(p *Push) string { return p.URL }),
	around("file's title", "file", "Title", "", element("Description", "")+element("FileKey", "k")+tail, func(p *Push) string { return p.Title }),
	around("scanned code", "event", "EventKey", element("Event", "SCAN"), element("Ticket", "t")+"</xml>", func(p *Push) string { return p.EventKey }),
	around("menu's key", "event", "EventKey", element("Event", "CLICK"), "</xml>", func(p *Push) string { return p.EventKey }),
	around("scanned by the menu", "event", "ScanResult", element("Event", "scancode_waitmsg")+element("EventKey", "k")+"<ScanCodeInfo>"+element("ScanType", "qrcode"), "</ScanCodeInfo></xml>", func(p *Push) string { return p.ScanResult }),
	around("chosen place", "event", "Poiname", element("Event", "location_select")+element("EventKey", "k")+"<SendLocationInfo>"+element("Label", "l"), "</SendLocationInfo></xml>", nil),
	around("chosen place's address", "event", "Label", element("Event", "location_select")+element("EventKey", "k")+"<SendLocationInfo>", element("Poiname", "p")+"</SendLocationInfo></xml>", nil),
	{
		name: "text before its sender", before: "<xml><Content><![CDATA[", field: func(p *Push) string { return p.Content }, msgType: "text", id: true,
		after: "]]></Content>" + strings.TrimPrefix(head, "<xml>") + "<MsgType><![CDATA[text]]></MsgType>" + tail,
	},
	{
		name: "indented", msgType: "text", id: true, field: func(p *Push) string { return p.Content },
		before: "<xml>\n  <ToUserName>\n    <![CDATA[gh_3f1c9a7e52b0]]>\n  </ToUserName>\n  <FromUserName>\n    <![CDATA[" + sender + "]]>\n  </FromUserName>\n" +
			"  <CreateTime>\n 1767225600\n </CreateTime>\n  <MsgType>\n\t<![CDATA[text]]>\n  </MsgType>\n  <Content>\n    <![CDATA[",
		after: "]]>\n  </Content >\n  <MsgId>\n 25231685381080100 \n</MsgId>\n</xml>\n",
	},
	{
		name: "with elements that nobody knows", msgType: "text", id: true, field: func(p *Push) string { return p.Content },
		before: head + "<MsgType><![CDATA[text]]></MsgType><Later><Content>x</Content><a><b/></a></Later><!-- -->" + "<Content><![CDATA[",
		after:  "]]></Content><Idx>1</Idx><Later2><![CDATA[y]]></Later2>" + tail,
	},
}

// written is how a follower's text is read: without what XML forbids, and with its line ends.
func written(text string) string {
	text = string(stripForbidden([]byte(text)))
	text = strings.ReplaceAll(text, "]]]]><![CDATA[>", "]]>") // as an XML writer has it
	return strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
}

// check opens the push in every mode and says what is not as it was sent.
func (l *layout) check(t interface {
	Helper()
	Errorf(string, ...any)
}, m *manifest, plain, secure *Account, c *Cipher, text string) {
	t.Helper()
	body := []byte(l.before + text + l.after)
	q, envelope := sealedPush(c, m.Token, m.Now, body)
	both := []byte(strings.Replace(string(body), "</xml>", "", 1)) // compatible mode: the plain push beside the encrypted one
	if i := strings.LastIndex(string(body), "</xml>"); i >= 0 {
		_, inner, _ := strings.Cut(string(envelope), "<Encrypt>")
		both = []byte(string(body[:i]) + "<Encrypt>" + inner)
	}
	for _, mode := range []struct {
		name string
		a    *Account
		q    Query
		body []byte
	}{{"plain", plain, plainQuery(m.Token, m.Now), body}, {"secure", secure, q, envelope}, {"compatible", secure, q, both}} {
		p, err := mode.a.Open(mode.q, mode.body, m.now())
		if err != nil {
			t.Errorf("%s, %s: %q is lost: %v", l.name, mode.name, text, err)
			continue
		}
		if p.FromUserName != sender || p.ToUserName != "gh_3f1c9a7e52b0" || p.MsgType != l.msgType || l.id != (p.MsgID == "25231685381080100") || p.CreateTime != 1767225600 {
			t.Errorf("%s, %s: %q is taken for %s's %s %q of %d", l.name, mode.name, text, p.FromUserName, p.MsgType, p.MsgID, p.CreateTime)
		}
		if l.field != nil && l.field(p) != written(text) && !l.ambiguous(text) {
			t.Errorf("%s, %s: %q is read as %q", l.name, mode.name, text, l.field(p))
		}
	}
}

// ambiguous tells whether the text has in it the beginning of another text of the same push: then nobody can tell which of
// the two it belongs to.
func (l *layout) ambiguous(text string) bool {
	for _, name := range []string{"Title", "Description", "Url"} {
		if begin := "<" + name + "><![CDATA["; strings.Contains(l.before+l.after, begin) && strings.Contains(text, begin) {
			return true
		}
	}
	return false
}

const victim = "<FromUserName><![CDATA[oVictim00000000000000000000]]></FromUserName>"

// hostile are texts that look like the end of the text, and more.
var hostile = []string{
	"", "]]>", "]", "]]", "]]]", "]]>]]>", "]]>x", "x]]>", "]]]>", "]]>]]", "<![CDATA[", "<![CDATA[]]>", "]]><![CDATA[", "]]]]><![CDATA[>",
	"为什么 if(a[b[0]]>1) 不行？", "<status><![CDATA[ok]]></status>", "a < b && c > d", "&amp;&lt;&#60;&nope;", "<!-- -->", "<!--", "-->", "<?xml version='1.0'?>", "<?php echo 1; ?>",
	"<!DOCTYPE xml [<!ENTITY a 'b'>]>&a;", "</xml>", "]]></xml>", "<xml>", "<a", "</", "<", ">", "\r\n\r\n", "\t", " ", "line\rline\r\nline", "]]>\n", "\n]]>",
	"]]></Content>", "]]></Content>\n", "]]></Content ", "]]></Content>x", "]]></Content><MsgId>1</MsgId>", "]]></Content></xml>", "]]></Content></xml><!--",
	"]]></Content>" + victim + "<Content><![CDATA[", "]]></Content>" + victim + "<x><Content><![CDATA[", "]]></Content>" + victim + "<!--", victim, "]]>" + victim,
	"]]></Content>" + strings.ReplaceAll(victim, "FromUserName", "ToUserName") + "<Content><![CDATA[",
	"]]></Content><MsgType><![CDATA[event]]></MsgType><Event><![CDATA[unsubscribe]]></Event><Content><![CDATA[",
	"]]></Content><Encrypt><![CDATA[AAAA]]></Encrypt><Content><![CDATA[", "]]></Content><CreateTime>1</CreateTime><Content><![CDATA[x",
	"]]></Title>" + victim + "<Title><![CDATA[", "]]></Title><Description><![CDATA[x]]></Description><Title><![CDATA[", "]]></Description>" + victim + "<Description><![CDATA[",
	"]]></Url>" + victim + "<Url><![CDATA[", "]]></EventKey>" + victim + "<EventKey><![CDATA[", "]]></Label>" + victim + "<Label><![CDATA[",
	"]]></Recognition>" + victim + "<Recognition><![CDATA[", "]]></ScanResult></ScanCodeInfo>" + victim + "<ScanCodeInfo><ScanResult><![CDATA[",
	"]]></Poiname></SendLocationInfo>" + victim + "<SendLocationInfo><Poiname><![CDATA[", "<Content><![CDATA[你好]]></Content>", "<xml><Content><![CDATA[你好]]></Content></xml>",
	"控制\x00字\x08符]\x00]>", "😀]]>👨‍👩‍👧",
}

func TestWhatAFollowerWritesIsOnlyText(t *testing.T) {
	m := loadManifest(t)
	plain, secure, c := m.plain(t), m.secure(t), mustCipher(t, m.EncodingAESKey, m.AppID)
	for i := range layouts {
		t.Run(layouts[i].name, func(t *testing.T) {
			for _, text := range hostile {
				layouts[i].check(t, m, plain, secure, c, text)
			}
		})
	}
}

// Whatever a follower writes is the text that is read, in every field, and no second sender wins.
func TestAnyTextIsRead(t *testing.T) {
	m := loadManifest(t)
	plain, secure, c := m.plain(t), m.secure(t), mustCipher(t, m.EncodingAESKey, m.AppID)
	pieces := append([]string{
		"]]>", "]]", "]", ">", "<![CDATA[", "<", "/", "</", "Content", "</Content>", "<Content>", "Title", "</xml>", "<xml>", "<!--", "-->", "&", "&amp;", "\n", "\r", " ", "你", "a",
		"]]></Content>", victim, "<MsgType>", "</MsgType>", "]]></Url>", "]]></Label>", "\x01", "\ufffe",
	}, hostile...)
	rapid.Check(t, func(t *rapid.T) {
		l := rapid.SampledFrom(layouts).Draw(t, "layout")
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 12).Draw(t, "text"), "")
		l.check(t, m, plain, secure, c, text)
	})
}

// Several texts at once, in any order, before and behind the sender: the message may be lost, but is nobody else's.
func TestNoTextOfAnyShapeForgesASender(t *testing.T) {
	m := loadManifest(t)
	plain := m.plain(t)
	names := []string{"Title", "Description", "Url", "Content", "Label", "EventKey", "Recognition"}
	var pieces []string
	for _, name := range names {
		pieces = append(pieces, "]]></"+name+">", "<"+name+"><![CDATA[", "]]></"+name+">"+victim+"<"+name+"><![CDATA[")
	}
	pieces = append(pieces, victim, "]]>", "<x>", "</x>", "<!--", "-->", "text")
	rapid.Check(t, func(t *rapid.T) {
		fields := []string{
			element("ToUserName", "gh_3f1c9a7e52b0"), element("FromUserName", sender), "<CreateTime>1767225600</CreateTime>", element("MsgType", "link"),
			"<MsgId>25231685381080100</MsgId>",
		}
		for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom(names), 1, 4, rapid.ID).Draw(t, "texts") {
			fields = append(fields, element(name, strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 6).Draw(t, name), "")))
		}
		body := "<xml>" + strings.Join(rapid.Permutation(fields).Draw(t, "order"), "") + "</xml>"
		p, err := plain.Open(plainQuery(m.Token, m.Now), []byte(body), m.now())
		if err == nil && p.FromUserName != sender {
			t.Fatalf("%s is taken for %s's", body, p.FromUserName)
		}
	})
}

func TestLinksWithHostileTextsInSeveralPlaces(t *testing.T) {
	m := loadManifest(t)
	plain := m.plain(t)
	for name, c := range map[string][3]string{
		"all end early":               {"a]]>b", "c]]>d", "https://x/]]>"},
		"the description ends titles": {"XML 教程", "怎么写 ]]></Title> 才对？", "https://x"},
		"with a tag behind":           {"XML 教程", "x]]></Title><y>", "https://x"},
		"the address ends both":       {"t", "d", "https://x/]]></Title><a>]]></Description><b>"},
	} {
		body := head + element("MsgType", "link") + element("Title", c[0]) + element("Description", c[1]) + element("Url", c[2]) + tail
		p, err := plain.Open(plainQuery(m.Token, m.Now), []byte(body), m.now())
		if err != nil || p.Title != c[0] || p.Description != c[1] || p.URL != c[2] || p.FromUserName != sender {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

// FuzzWritten is TestAnyTextIsRead for any text of a text message.
func FuzzWritten(f *testing.F) {
	for _, text := range hostile {
		f.Add(text, uint8(0))
		f.Add(text, uint8(3))
	}
	m := loadManifest(f)
	plain, secure, c := m.plain(f), m.secure(f), mustCipher(f, m.EncodingAESKey, m.AppID)
	f.Fuzz(func(t *testing.T, text string, which uint8) {
		if strings.ToValidUTF8(text, "") != text || len(text) > 20_000 {
			return // WeChat sends UTF-8
		}
		l := layouts[int(which)%len(layouts)]
		l.check(t, m, plain, secure, c, text)
	})
}

func TestReportedPushes(t *testing.T) {
	m := loadManifest(t)
	for name, want := range map[string]struct{ msgType, content string }{
		"cdata-end-alone":            {"text", "]]>"},
		"cdata-end-in-code":          {"text", "为什么 if(a[b[0]]>1) 不行？"},
		"cdata-nested-typed-by-user": {"text", "<status><![CDATA[ok]]></status>"},
		"file-message":               {"file", ""},
		"pretty-printed-text":        {"text", "你好"},
	} {
		body := strings.NewReplacer("@NOW@", "1767225600", "@MSGID@", "25231685381080100").Replace(string(readFixture(t, "reported/"+name+".xml")))
		a, err := NewAccount(Options{Tokens: []string{m.Token}})
		if err != nil {
			t.Fatal(err)
		}
		p, err := a.Open(plainQuery(m.Token, m.Now), []byte(body), m.now())
		if err != nil || p.MsgType != want.msgType || p.Content != want.content || p.FromUserName != "oFollower0000000000000000001" || p.MsgID == "" {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}
