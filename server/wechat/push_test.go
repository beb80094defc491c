package wechat

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestUnusablePushesSayWhyWithoutContent(t *testing.T) {
	m := loadManifest(t)
	a := m.plain(t)
	push := string(textPush("private words"))
	for name, tc := range map[string]struct{ old, new, want string }{
		"no sender":             {"FromUserName", "Sender", "FromUserName"},
		"blank sender":          {"oTk5q6WcY7bZr-0PqX2mN8sLdE4A", "", "FromUserName"},
		"sender a path":         {"oTk5q6WcY7bZr-0PqX2mN8sLdE4A", "../../private words", "FromUserName"},
		"sender too long":       {"oTk5q6WcY7bZr-0PqX2mN8sLdE4A", repeat("o", 65), "FromUserName"},
		"no receiver":           {"ToUserName", "Receiver", "ToUserName"},
		"other receiver":        {"gh_3f1c9a7e52b0", "gh_000000000000", "another account"},
		"no type":               {"MsgType", "Kind", "MsgType"},
		"repeated":              {"<MsgId>", "<Content/><MsgId>", "repeated"},
		"repeated by alias":     {"<MsgId>", "<MsgID>1</MsgID><MsgId>", "repeated"},
		"repeated though empty": {"<MsgType>", "<MsgType/><MsgType>", "repeated"},
		"element in a field":    {"private words", "<b>private words</b>", "inside"},
		"not UTF-8":             {"private words", "private words\xff", "UTF-8"},
		"UTF-8 surrogate":       {"private words", "\xed\xa0\x80", "UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			body := strings.ReplaceAll(push, tc.old, tc.new)
			if body == push {
				t.Fatal("nothing was changed")
			}
			p, err := a.Open(plainQuery(m.Token, m.Now), []byte(body), m.now())
			unusable.check(t, p, err)
			if !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "private") || strings.Contains(err.Error(), "oTk5") {
				t.Errorf("error is %q, want one with %q and no content", err, tc.want)
			}
		})
	}
}

func TestParse_IgnoresRepeatedElements(t *testing.T) {
	m := loadManifest(t)
	body := strings.Replace(string(textPush("hello")), "<MsgId>", "<List><a/><Content>x</Content></List><List/><MsgId>", 1)
	p, err := m.plain(t).Open(plainQuery(m.Token, m.Now), []byte(body), m.now())
	if err != nil || p.Content != "hello" {
		t.Fatalf("%v, %v", p, err)
	}
}

func TestCreateTime(t *testing.T) {
	m := loadManifest(t)
	for written, want := range map[string]int64{
		"1767225600": 1767225600, "\t1767225600\n": 1767225600, "1767225600123": 1767225600123, "9223372036854775807": 9223372036854775807,
		"": 0, "-1": 0, "yesterday": 0, "9223372036854775808": 0, "1e9": 0,
	} {
		body := strings.Replace(string(textPush("hello")), "1767225600", written, 1)
		p, err := m.plain(t).Open(plainQuery(m.Token, m.Now), []byte(body), m.now())
		if err != nil || p.CreateTime != want {
			t.Errorf("%q is read as %d, %v; want %d", written, p.CreateTime, err, want)
		}
	}
}

func TestSentAfterEstimatesTheDelivery(t *testing.T) {
	m := loadManifest(t)
	for _, tc := range []struct {
		created string
		sent    int64
		want    time.Duration
	}{
		{"1767225600", 1767225600, 0},
		{"1767225600", 1767225601, time.Second},
		{"1767225600", 1767225605, 5 * time.Second},
		{"1767225600", 1767225610, 10 * time.Second},
		{"1767225600", 1767225660, time.Minute},
		{"1767225600", 1767225661, 0},
		{"1767225600", 1767225599, 0},
		{"1767225600123", 1767225605, 0},
		{"1", 1767225605, 0},
		{"never", 1767225605, 0},
	} {
		body := strings.Replace(string(textPush("hello")), "1767225600", tc.created, 1)
		p, err := m.plain(t).Open(plainQuery(m.Token, tc.sent), []byte(body), m.now())
		if err != nil {
			t.Fatal(err)
		}
		if got := p.SentAfter(); got != tc.want {
			t.Errorf("created %s, sent %d: %v, want %v", tc.created, tc.sent, got, tc.want)
		}
	}
}

var dedupeForm = regexp.MustCompile(`^[A-Za-z0-9-]{2,64}$`)

func TestDedupeKeys(t *testing.T) {
	text := Push{FromUserName: "oA", CreateTime: 1, MsgType: MsgTypeText, MsgID: "25231685381080100", Content: "a"}
	event := Push{FromUserName: "oA", CreateTime: 1, MsgType: MsgTypeEvent, Event: "CLICK", EventKey: "k"}
	noID := Push{FromUserName: "oA", CreateTime: 1, MsgType: MsgTypeText, Content: "a"}
	for name, tc := range map[string]struct {
		base   Push
		change func(*Push)
		same   bool
	}{
		"message, later delivery":       {text, func(p *Push) { p.sentAt = 7 }, true},
		"message, all else changed":     {text, func(p *Push) { p.CreateTime, p.Content = 2, "b" }, true},
		"message, other follower":       {text, func(p *Push) { p.FromUserName = "oB" }, true},
		"message, other id":             {text, func(p *Push) { p.MsgID = "25231685381080101" }, false},
		"event, later delivery":         {event, func(p *Push) { p.sentAt = 7 }, true},
		"event, a second later":         {event, func(p *Push) { p.CreateTime = 2 }, false},
		"event, other event":            {event, func(p *Push) { p.Event = "LOCATION" }, false},
		"event, other key":              {event, func(p *Push) { p.EventKey = "l" }, false},
		"event, letters moved":          {event, func(p *Push) { p.Event, p.EventKey = "CLIC", "Kk" }, false},
		"event, of a template message":  {Push{CreateTime: 1, MsgType: MsgTypeEvent, Event: "TEMPLATESENDJOBFINISH", MsgID: "1"}, func(p *Push) { p.CreateTime = 2 }, false},
		"event against message":         {event, func(p *Push) { p.MsgType, p.MsgID = MsgTypeText, "1" }, false},
		"no id, later delivery":         {noID, func(p *Push) { p.sentAt = 7 }, true},
		"no id, other words":            {noID, func(p *Push) { p.Content = "b" }, false},
		"no id, id not a number":        {noID, func(p *Push) { p.MsgID = "../1" }, false},
		"no id, id longer than 64 bits": {noID, func(p *Push) { p.MsgID = repeat("1", 21) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			changed := tc.base
			tc.change(&changed)
			a, b := tc.base.DedupeKey(), changed.DedupeKey()
			if (a == b) != tc.same {
				t.Errorf("keys are %q and %q", a, b)
			}
			if !dedupeForm.MatchString(a) || !dedupeForm.MatchString(b) {
				t.Errorf("keys %q and %q have another form", a, b)
			}
		})
	}
	rapid.Check(t, func(rt *rapid.T) {
		p := Push{
			MsgType: rapid.SampledFrom([]string{"text", "event"}).Draw(rt, "type"), MsgID: rapid.String().Draw(rt, "id"),
			Event: rapid.String().Draw(rt, "event"), EventKey: rapid.String().Draw(rt, "key"), CreateTime: rapid.Int64Min(0).Draw(rt, "created"),
		}
		if key := p.DedupeKey(); !dedupeForm.MatchString(key) {
			rt.Fatalf("key %q", key)
		}
	})
}

func TestPlaceholder(t *testing.T) {
	for content, want := range map[string]bool{
		"【收到不支持的消息类型，暂无法显示】":              true,
		"[收到不支持的消息类型，暂无法显示]":              true,
		" 【收到不支援的訊息類型，無法顯示】\n":            true,
		"[Unsupported Message]":           true,
		"[Unsupported message]":           true,
		"收到不支持的消息类型，暂无法显示":                false,
		"为什么说【收到不支持的消息类型，暂无法显示】":          false,
		"Unsupported message":             false,
		"[你好]":                            false,
		"":                                false,
		"【】":                              false,
		"【收到不支持的消息类型】" + repeat("a", 200): false,
	} {
		if got := (&Push{MsgType: MsgTypeText, Content: content}).Placeholder(); got != want {
			t.Errorf("%q: %v", content, got)
		}
	}
	if (&Push{MsgType: MsgTypeVoice, Content: "[Unsupported Message]"}).Placeholder() {
		t.Error("only a text can be the placeholder")
	}
}

func TestEventsAndScenes(t *testing.T) {
	for name, tc := range map[string]struct {
		push  Push
		event string
		is    bool
		scene string
	}{
		"as documented":      {Push{MsgType: "event", Event: "SCAN", EventKey: "s"}, EventScan, true, "s"},
		"in another case":    {Push{MsgType: "event", Event: "scan", EventKey: "s"}, EventScan, true, "s"},
		"subscribed by QR":   {Push{MsgType: "event", Event: "subscribe", EventKey: "qrscene_a"}, EventSubscribe, true, "a"},
		"subscribed by pay":  {Push{MsgType: "event", Event: "subscribe", EventKey: "last_trade_no_1"}, EventSubscribe, true, ""},
		"subscribed":         {Push{MsgType: "event", Event: "subscribe"}, EventUnsubscribe, false, ""},
		"click":              {Push{MsgType: "event", Event: "CLICK", EventKey: "k"}, EventClick, true, ""},
		"a text is no event": {Push{MsgType: "text", Event: "SCAN", EventKey: "s"}, EventScan, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.push.IsEvent(tc.event); got != tc.is {
				t.Errorf("IsEvent is %v", got)
			}
			if got := tc.push.Scene(); got != tc.scene {
				t.Errorf("Scene is %q, want %q", got, tc.scene)
			}
		})
	}
	if got := (&Push{MsgType: MsgTypeEvent}).String(); got != "wechat.Push(event)" {
		t.Errorf("an event prints as %q", got)
	}
}
