package wechat

import (
	"encoding/xml"
	"testing"
)

const answer = "我们每天 9:00 开门，21:00 关门；周一休息。节假日的时间以公告为准，出发前可以先打电话问一下。"

func BenchmarkOpenPlainText(b *testing.B) {
	m := loadManifest(b)
	a, q, body, now := m.plain(b), plainQuery(m.Token, m.Now), readFixture(b, "messages/text.xml"), m.now()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Open(q, body, now); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenEncryptedText(b *testing.B) {
	m := loadManifest(b)
	a, now := m.secure(b), m.now()
	q, body := sealedPush(mustCipher(b, m.EncodingAESKey, m.AppID), m.Token, m.Now, readFixture(b, "messages/text.xml"))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Open(q, body, now); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseTextPush(b *testing.B) {
	body := readFixture(b, "messages/text.xml")
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parsePush(body, "gh_3f1c9a7e52b0"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParseTextPushStandard is what encoding/xml takes for the same push.
func BenchmarkParseTextPushStandard(b *testing.B) {
	body := readFixture(b, "messages/text.xml")
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		var v struct {
			XMLName                                                xml.Name `xml:"xml"`
			ToUserName, FromUserName, CreateTime, MsgType, Content string
			MsgID                                                  string `xml:"MsgId"`
		}
		if err := xml.Unmarshal(body, &v); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseHostile(b *testing.B) {
	body := []byte("<xml><a>" + repeat("&amp;", 50_000) + "</a></xml>")
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parsePush(body, ""); err == nil {
			b.Fatal("accepted")
		}
	}
}

func BenchmarkRefuseUnauthenticated(b *testing.B) {
	m := loadManifest(b)
	a, now := m.secure(b), m.now()
	q, body := sealedPush(mustCipher(b, m.EncodingAESKey, m.AppID), "wrongToken", m.Now, readFixture(b, "messages/text.xml"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Open(q, body, now); err == nil {
			b.Fatal("accepted")
		}
	}
}

func BenchmarkParseQuery(b *testing.B) {
	q, _ := sealedPush(mustCipher(b, testKey, testAppID), "wxopTestToken2026", 1767225600, nil)
	raw := q.encode()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseQuery(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkReply(b *testing.B, sealed bool) {
	m := loadManifest(b)
	a, p := openText(b, m, sealed)
	now := m.now()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Reply(p, Text{answer}, now); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReplyPlain(b *testing.B)  { benchmarkReply(b, false) }
func BenchmarkReplySealed(b *testing.B) { benchmarkReply(b, true) }

func BenchmarkTapLink(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if TapLink("继续", "1", "next") == "" {
			b.Fatal("empty")
		}
	}
}
