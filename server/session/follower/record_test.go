package follower

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// recorded is a record with a value in every field, as its format's number writes it. A new format adds a file and keeps
// the old ones: what an older server has written is read as it was meant.
func recorded() *Record {
	at := session.Cursor{At: 6, Sum: 0xdc2b2a1}
	return &Record{
		Format: 1, Active: 1795772805000000, Conversation: "6f0d3a52-9a4e-4b8e-a7e4-0a2b7a3c1d11", Allowance: 1795772810000000,
		Human: 1795774600000000, Fence: 7, Lease: &Lease{Turn: "7311", Holder: "pod-a", Fence: 7},
		Turns: []Turn{
			{
				ID: "7310", State: session.Answered, Accepted: 1795772800000000, Deadline: 1795773100000000,
				Finished: 1795772805000000, Attempts: 2, Question: 12, Answer: 30, Ref: "ref", Cursor: at, Delivered: true, Sends: 1,
				Sending: session.Part{State: session.Sending, To: at, End: true},
				Seen:    Seen{Deliveries: 2, Shown: &Shown{Turn: "7310", From: session.Cursor{}, To: at, End: true}},
			},
			{ID: "7311", State: session.Answering, Accepted: 1795772806000000, Attempts: 1, Question: 9, Failure: "", Pushing: true},
		},
		Messages: []Message{{ID: "7312", Kind: stop, First: 1795772807000000, Stopped: "7309", Seen: Seen{Deliveries: 1}}},
		Windows:  []Window{{Kind: "message", Opened: 1795772806000000, Until: 1795945606000000, Left: 4}},
		Kept:     []Kept{{Media: session.Media{Kind: "image", ID: "media-1", URL: "http://mmbiz.qpic.cn/1"}, At: 1795772804000000}},
	}
}

func TestRecordedFormatsAreRead(t *testing.T) {
	files, err := filepath.Glob("testdata/record-*.json")
	if err != nil || len(files) != Format {
		t.Fatalf("%d files, want one for each of the formats 1 to %d: %v", len(files), Format, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var got Record
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if err := got.Check(); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if diff := cmp.Diff(recorded(), &got, cmp.AllowUnexported(Turn{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
}

// What this server writes is the newest recorded format: a field that was renamed would be lost with the old server's data.
func TestTheNewestFormatIsWritten(t *testing.T) {
	want, err := os.ReadFile("testdata/record-1.json")
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(recorded(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.TrimSpace(string(want)), string(got)); diff != "" {
		t.Errorf("(-recorded +written):\n%s", diff)
	}
}

func TestALaterFormatIsRefused(t *testing.T) {
	r := recorded()
	r.Format = Format + 1
	if err := r.Check(); err == nil || !strings.Contains(err.Error(), "has format 2, known are 1 to 1") {
		t.Errorf("error %v", err)
	}
}
