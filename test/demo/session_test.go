package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// syncBuffer is a buffer that goroutines write to.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestSessionsAreBoundedAndTheIdleOnesGo(t *testing.T) {
	ss := newSessions()
	for i := range maxSessions {
		s, evicted, err := ss.get(fmt.Sprintf("session-%08d", i))
		if err != nil || evicted != nil {
			t.Fatalf("session %d: evicted %v, %v", i, evicted, err)
		}
		if i != 5 && !s.open() {
			t.Fatalf("session %d has no stream", i)
		}
	}
	idle := ss.byID["session-00000005"]
	if ss.byOpenID(idle.openid) != idle {
		t.Error("the idle session is not found by its openid")
	}
	if _, evicted, err := ss.get("session-in-its-place"); err != nil || evicted != idle {
		t.Errorf("evicted %v, %v, want the idle one", evicted, err)
	}
	busy, _, err := ss.get("session-in-its-place")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := busy.begin(true); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ss.get("session-one-too-many"); !errors.Is(err, errTooManySessions) {
		t.Errorf("one session too many: %v", err)
	}
	if ss.byOpenID(idle.openid) != nil {
		t.Error("an evicted session is still found by its openid")
	}
}

func TestEventsAreBoundedAndNumbered(t *testing.T) {
	s := &session{more: make(chan struct{})}
	_, _, more := s.after(0)
	for i := range maxEvents + 1 {
		s.tell("n", i)
	}
	select {
	case <-more:
	default:
		t.Error("a waiting stream was not woken")
	}
	events, total, _ := s.after(0)
	if total != maxEvents+1 || len(events) != maxEvents+1-droppedEvents {
		t.Errorf("%d events of %d are kept", len(events), total)
	}
	if events, _, _ := s.after(maxEvents - 1); len(events) != 2 || string(events[1].data) != strconv.Itoa(maxEvents) {
		t.Errorf("behind the last but two come %v", events)
	}
	if events, _, _ := s.after(maxEvents + 100); len(events) != 0 {
		t.Errorf("behind the end come %v", events)
	}
}

func TestMessagesAreBounded(t *testing.T) {
	s := &session{more: make(chan struct{})}
	for range maxUnderWay {
		if _, err := s.begin(true); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.begin(true); !errors.Is(err, errTooManyUnderWay) {
		t.Errorf("one more under way: %v", err)
	}
	for len(s.messages) > 0 && s.messages[len(s.messages)-1].id < maxMessages+maxUnderWay {
		s.end(s.messages[len(s.messages)-1], []wechatsim.Link{{Send: "1"}}, false)
		if _, err := s.begin(false); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.messages) != maxMessages {
		t.Errorf("%d messages are kept, want %d", len(s.messages), maxMessages)
	}
	if _, ok := s.link(1, 0); ok {
		t.Error("a link of a forgotten message can be tapped")
	}
	if l, ok := s.link(maxMessages, 0); !ok || l.Send != "1" {
		t.Errorf("the link of a kept message is %v", l)
	}
	for _, index := range []int{-1, 1} {
		if _, ok := s.link(maxMessages, index); ok {
			t.Errorf("there is a link %d", index)
		}
	}
}

func TestTurnBelongsToTheNearestOpenQuestion(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	s := &session{messages: []*message{
		{id: 1, start: at(10), question: true}, {id: 2, start: at(20), question: true},
		{id: 3, start: at(21)}, {id: 4, start: at(30), question: true},
	}}
	var got []int
	for _, accepted := range []int{21, 21, 9} {
		got = append(got, s.asked(at(accepted)).id)
	}
	if want := []int{2, 4, 1}; !cmp.Equal(got, want) {
		t.Errorf("the turns belong to %v, want %v", got, want)
	}
	if m := s.asked(at(10)); m != nil {
		t.Errorf("a turn too many belongs to message %d", m.id)
	}
}

func TestPartsOfAReply(t *testing.T) {
	text := `一 <a href="weixin://bizmsgmenu?msgmenucontent=1&msgmenuid=bot">继续</a>（或回复 1）<a href="https://example.com/">页</a><b>`
	want := []part{
		{Text: "一 "}, {Text: "继续", Link: "tap"}, {Text: "（或回复 1）"},
		{Text: "页", Link: "page", Index: 1, URL: "https://example.com/"}, {Text: "<b>"},
	}
	if diff := cmp.Diff(want, parts(text)); diff != "" {
		t.Error(diff)
	}
	if got := parts(""); got == nil || len(got) != 0 {
		t.Errorf("the parts of nothing are %#v, want an empty list", got)
	}
}

func TestKindOfAReply(t *testing.T) {
	fetch, retry := wechatsim.Link{Send: "1"}, wechatsim.Link{Send: "/retry"}
	tests := []struct {
		kind, sent, text string
		links            []wechatsim.Link
		want             string
	}{
		{"text", "问", "答", nil, "whole"},
		{"text", "问", "答", []wechatsim.Link{fetch}, "part"},
		{"text", "问", "抱歉", []wechatsim.Link{retry}, "failed"},
		{"tap", "/retry", "答", nil, "whole"},
		{"tap", "1", "答", nil, "whole"},
		{"click", "1", "答", []wechatsim.Link{fetch}, "part"},
		{"click", "help", "您好", []wechatsim.Link{fetch}, "notice"},
		{"text", "/help", "您好", []wechatsim.Link{fetch}, "notice"},
		{"text", "１", words["nothingYet"], nil, "notice"},
		{"text", "问", "问\n------------\n" + words["queued"], []wechatsim.Link{fetch}, "waiting"},
		{"text", "问", words["busy"], nil, "refused"},
		{"follow", "", "欢迎", nil, "notice"},
	}
	for _, test := range tests {
		x := &wechatsim.Exchange{Outcome: wechatsim.Replied, Reply: wechatsim.Reply{Text: test.text, Links: test.links}}
		if got := kindOf(action{kind: test.kind, text: test.sent}, x); got != test.want {
			t.Errorf("%s %q answered %q is %s, want %s", test.kind, test.sent, test.text, got, test.want)
		}
	}
}

func TestAnswersHaveTheOrderedLength(t *testing.T) {
	for _, question := range []string{"几点开门？", "怎么退书？", "宇宙有多大？"} {
		for length := minLength; length <= maxLength; length += 137 {
			text := answer(question, length)
			n := utf8.RuneCountInString(text)
			if n > length || n == 0 || n < length-130 {
				t.Fatalf("%q in %d characters has %d", question, length, n)
			}
			if n < length && !strings.HasSuffix(text, "。") && !strings.HasSuffix(text, "；") {
				t.Fatalf("%q in %d characters ends within a sentence: %q", question, length, text)
			}
		}
	}
	if got := answer("你们营业到几点？", 200); !strings.HasPrefix(got, topics[0].text) {
		t.Errorf("asked for the hours the clerk says %q", got)
	}
}

func TestBehaviourThatCannotBeIsRefused(t *testing.T) {
	good := difyBehaviour{FirstText: 1, Total: 2, Length: 100, Fault: noFault}
	tests := map[string]func(*difyBehaviour){
		"a negative time":                  func(b *difyBehaviour) { b.FirstText = -1 },
		"a first text after the end":       func(b *difyBehaviour) { b.FirstText = 3 },
		"a first text after half a minute": func(b *difyBehaviour) { b.FirstText, b.Total = maxFirstText+1, maxTotal },
		"an end after 40 s":                func(b *difyBehaviour) { b.Total = maxTotal + 1 },
		"a word":                           func(b *difyBehaviour) { b.Length = minLength - 1 },
		"a book":                           func(b *difyBehaviour) { b.Length = maxLength + 1 },
		"an unknown fault":                 func(b *difyBehaviour) { b.Fault = "fire" },
	}
	if err := good.check(); err != nil {
		t.Errorf("a possible behaviour: %v", err)
	}
	for name, change := range tests {
		b := good
		change(&b)
		if b.check() == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestEveryFaultIsOneOfTheStandIns(t *testing.T) {
	kinds := map[difyFault]difysim.FaultKind{
		noFault: difysim.NoFault, tooMany: difysim.TooManyRequests, serverError: difysim.HTTPError, cutShort: difysim.CutAfter,
		hanging: difysim.Hang, conversationGone: difysim.ConversationGone, reasoning: difysim.NoFault, markdown: difysim.NoFault,
	}
	for fault, kind := range kinds {
		b := difyBehaviour{FirstText: 1000, Total: 2000, Length: 100, Fault: fault}.of(difysim.Request{Query: "问"})
		if err := b.Validate(); err != nil || b.Fault.Kind != kind || b.FirstText != time.Second || b.Total != 2*time.Second {
			t.Errorf("%s becomes %+v, %v", fault, b, err)
		}
	}
}

func TestTurnsAreReadFromTheLog(t *testing.T) {
	var turns []finishedTurn
	var out bytes.Buffer
	log := slog.New(turnLog{
		slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelError}), func(f finishedTurn) { turns = append(turns, f) },
	}).With("a", 1).WithGroup("b")
	log.Info("Another line", "follower", "x")
	before := time.Now()
	log.Info("Turn finished", "follower", "ab", "outcome", "answered", "waited", time.Second, "took", 2*time.Second, "tries", 3,
		"firstText", time.Millisecond, "error", errors.New("none"))
	if len(turns) != 1 {
		t.Fatalf("%d turns were read, want 1", len(turns))
	}
	got := turns[0]
	if late := got.accepted.Sub(before.Add(-3 * time.Second)); late < 0 || late > time.Minute {
		t.Errorf("the question was accepted at %v, want 3 s before the line", got.accepted)
	}
	got.accepted = time.Time{}
	want := finishedTurn{follower: "ab", outcome: "answered", waited: time.Second, took: 2 * time.Second, firstText: time.Millisecond, tries: 3}
	if got != want {
		t.Errorf("the turn is %+v, want %+v", got, want)
	}
	if out.Len() != 0 {
		t.Errorf("lines below the level went on: %s", out.String())
	}
	if log.Handler().Enabled(context.Background(), slog.LevelDebug) {
		t.Error("debug lines would be made, and dropped")
	}
}
