package sse_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wechatbot/wechatbot-operator/server/dify/sse"
)

// event is an Event that outlives the Reader's buffer.
type event struct {
	Type, Data         string
	NoData             bool
	TooLong, Truncated bool
}

func readAll(r io.Reader, maxEvent int) ([]event, error) {
	var out []event
	reader := sse.NewReader(r, maxEvent)
	for {
		e, err := reader.Next()
		if err != nil {
			return out, err
		}
		out = append(out, event{
			Type: string(e.Type), Data: string(e.Data), NoData: e.Data == nil,
			TooLong: e.TooLong, Truncated: e.Truncated,
		})
	}
}

var streams = map[string]struct {
	in   string
	max  int
	want []event
}{
	"one event":                              {in: "data: a\n\n", want: []event{{Data: "a"}}},
	"no space after the colon":               {in: "data:a\n\n", want: []event{{Data: "a"}}},
	"only the first space is dropped":        {in: "data:  a \n\n", want: []event{{Data: " a "}}},
	"CRLF":                                   {in: "data: a\r\n\r\ndata: b\r\n\r\n", want: []event{{Data: "a"}, {Data: "b"}}},
	"CR":                                     {in: "data: a\r\rdata: b\r\r", want: []event{{Data: "a"}, {Data: "b"}}},
	"mixed line ends":                        {in: "data: a\rdata: b\n\r\ndata: c\r\n\n", want: []event{{Data: "a\nb"}, {Data: "c"}}},
	"byte order mark":                        {in: "\ufeffdata: a\n\n", want: []event{{Data: "a"}}},
	"a second byte order mark is a name":     {in: "\ufeff\ufeffdata: a\n\n"},
	"a later byte order mark is a name":      {in: "\n\ufeffdata: a\n\n"},
	"several data lines":                     {in: "data: a\ndata:\ndata: c\n\n", want: []event{{Data: "a\n\nc"}}},
	"data lines among others":                {in: "data: a\nevent: x\nid: 7\n: c\ndata: bc\n\n", want: []event{{Type: "x", Data: "a\nbc"}}},
	"ping without data":                      {in: "event: ping\n\ndata: a\n\n", want: []event{{Type: "ping", NoData: true}, {Data: "a"}}},
	"the last type counts":                   {in: "event: a\nevent: b\ndata: x\n\n", want: []event{{Type: "b", Data: "x"}}},
	"the type does not outlive its event":    {in: "event: a\ndata: x\n\ndata: y\n\n", want: []event{{Type: "a", Data: "x"}, {Data: "y"}}},
	"empty data":                             {in: "data:\n\ndata\n\n", want: []event{{Data: ""}, {Data: ""}}},
	"empty data lines join":                  {in: "data\ndata\ndata\n\n", want: []event{{Data: "\n\n"}}},
	"comments, blank lines and other fields": {in: ": hi\n\n\nid: 3\nretry: 10\nfoo: bar\nfoo\n\n:\n\n"},
	"a field's name is exact":                {in: "Data: a\ndata : b\n data: c\n\n"},
	"colons belong to the value":             {in: "data: a:b: c\n\n", want: []event{{Data: "a:b: c"}}},
	"no blank line at the end":               {in: "data: a\n\ndata: b\n", want: []event{{Data: "a"}, {Data: "b", Truncated: true}}},
	"cut inside a line":                      {in: "data: a\n\ndata: b", want: []event{{Data: "a"}, {Data: "b", Truncated: true}}},
	"cut inside the second data line":        {in: "data: a\ndata: b", want: []event{{Data: "a\nb", Truncated: true}}},
	"cut inside a field's name":              {in: "data: a\n\nda", want: []event{{Data: "a"}}},
	"cut after the type":                     {in: "event: ping", want: []event{{Type: "ping", NoData: true, Truncated: true}}},
	"cut inside the byte order mark":         {in: "\ufeffdata: a", want: []event{{Data: "a", Truncated: true}}},
	"empty stream":                           {in: ""},
	"an event as long as allowed":            {max: 20, in: "data: 0123456789abc\n\ndata: b\n\n", want: []event{{Data: "0123456789abc"}, {Data: "b"}}},
	"an event one byte longer than allowed":  {max: 20, in: "data: 0123456789abcd\n\ndata: b\n\n", want: []event{{TooLong: true}, {Data: "b"}}},
	"over-long by many lines":                {max: 20, in: "event: x\ndata: 1\ndata: 2\ndata: 3\ndata: 4\n\ndata: b\n\n", want: []event{{TooLong: true}, {Data: "b"}}},
	"an over-long event that is cut":         {max: 20, in: "data: " + strings.Repeat("x", 90), want: []event{{TooLong: true, Truncated: true}}},
	"an over-long comment":                   {max: 20, in: ":" + strings.Repeat("x", 99) + "\ndata: b\n\n", want: []event{{Data: "b"}}},
	"an over-long name of an event":          {max: 20, in: "event: " + strings.Repeat("x", 99) + "\ndata: b\n\n", want: []event{{Data: "b"}}},
	"comments do not add up":                 {max: 20, in: strings.Repeat(": keep-alive\n", 99) + "data: b\n\n", want: []event{{Data: "b"}}},
}

// sameEvents compares; what is left of an over-long event depends on how it was delivered.
func sameEvents(want, got []event) string {
	shortened := func(es []event) []event {
		var cut []event
		for _, e := range es {
			if e.TooLong {
				e.Type, e.Data = "", ""
			}
			cut = append(cut, e)
		}
		return cut
	}
	return cmp.Diff(shortened(want), shortened(got))
}

func TestNextReadsEvents(t *testing.T) {
	for name, c := range streams {
		t.Run(name, func(t *testing.T) {
			for kind, wrap := range map[string]func(io.Reader) io.Reader{
				"whole":             func(r io.Reader) io.Reader { return r },
				"byte by byte":      iotest.OneByteReader,
				"halves":            iotest.HalfReader,
				"error with bytes":  iotest.DataErrReader,
				"one byte with EOF": func(r io.Reader) io.Reader { return iotest.DataErrReader(iotest.OneByteReader(r)) },
			} {
				got, err := readAll(wrap(strings.NewReader(c.in)), c.max)
				if err != io.EOF {
					t.Errorf("%s: error %v, want io.EOF", kind, err)
				}
				if d := sameEvents(c.want, got); d != "" {
					t.Errorf("%s: (-want +got)\n%s", kind, d)
				}
			}
		})
	}
}

func TestNextReportsTheReadersError(t *testing.T) {
	broken := errors.New("connection reset")
	for name, c := range map[string]struct {
		in   string
		want []event
	}{
		"between events":  {"data: a\n\n", []event{{Data: "a"}}},
		"inside an event": {"data: a\n\ndata: b", []event{{Data: "a"}, {Data: "b", Truncated: true}}},
		"at once":         {"", nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := readAll(io.MultiReader(strings.NewReader(c.in), iotest.ErrReader(broken)), 0)
			if !errors.Is(err, broken) {
				t.Errorf("error %v, want the reader's", err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// idle gives neither bytes nor an error.
type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

func TestNextGivesUpOnAReaderWithoutProgress(t *testing.T) {
	if _, err := sse.NewReader(idle{}, 0).Next(); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("error %v, want io.ErrNoProgress", err)
	}
}

func TestNextStaysAtTheEnd(t *testing.T) {
	r := sse.NewReader(strings.NewReader("data: a"), 0)
	if e, err := r.Next(); err != nil || string(e.Data) != "a" {
		t.Fatalf("Next() = %q, %v", e.Data, err)
	}
	for range 3 {
		if _, err := r.Next(); err != io.EOF {
			t.Errorf("error %v, want io.EOF again", err)
		}
	}
}

func TestNextReadsLargeEventsAmongSmallOnes(t *testing.T) {
	large := strings.Repeat("好", 700_000) // 2.1 MB
	in := "data: a\n\ndata: " + large + "\n\ndata: b\n\nevent: x\ndata: " + large + "\ndata: tail\n\n"
	want := []event{{Data: "a"}, {Data: large}, {Data: "b"}, {Type: "x", Data: large + "\ntail"}}
	got, err := readAll(strings.NewReader(in), 0)
	if err != io.EOF || !cmp.Equal(want, got) {
		t.Fatalf("read %d events, error %v; the large ones differ or are missing", len(got), err)
	}
}

func TestNextKeepsTheHeadOfAnOverlongEvent(t *testing.T) {
	in := `data: {"event":"node_finished","x":"` + strings.Repeat("x", 1<<20) + "\"}\n\ndata: b\n\n"
	got, err := readAll(strings.NewReader(in), 64<<10)
	if err != io.EOF || len(got) != 2 || !got[0].TooLong || got[1].Data != "b" {
		t.Fatalf("read %d events, error %v", len(got), err)
	}
	if !strings.HasPrefix(got[0].Data, `{"event":"node_finished","x":"xxx`) || len(got[0].Data) > 512 {
		t.Errorf("head is %.40q of %d bytes", got[0].Data, len(got[0].Data))
	}
}

// chunks delivers a stream in pieces of given sizes, the last size again and again.
type chunks struct {
	rest  string
	sizes []int
}

func (c *chunks) Read(p []byte) (int, error) {
	if c.rest == "" {
		return 0, io.EOF
	}
	n := c.sizes[0]
	if len(c.sizes) > 1 {
		c.sizes = c.sizes[1:]
	}
	n = copy(p, c.rest[:min(n, len(c.rest))])
	c.rest = c.rest[n:]
	return n, nil
}

func TestDeliveryDoesNotChangeTheEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		line := rapid.SampledFrom([]string{
			"data: a", "data:好的", "data", "data:", "event: ping", ": c", "id: 1", "", "", "\ufeff",
			"data: 0123456789012345678901234567890123456789", "event: 0123456789012345678901234567890123456789",
		})
		ends := rapid.SampledFrom([]string{"\n", "\r\n", "\r"})
		var in strings.Builder
		for range rapid.IntRange(0, 30).Draw(t, "lines") {
			in.WriteString(line.Draw(t, "line"))
			in.WriteString(ends.Draw(t, "end"))
		}
		maxEvent := rapid.SampledFrom([]int{0, 16, 20, 40}).Draw(t, "max")
		sizes := rapid.SliceOfN(rapid.IntRange(1, 50), 1, 20).Draw(t, "sizes")

		want, _ := readAll(strings.NewReader(in.String()), maxEvent)
		got, err := readAll(&chunks{in.String(), sizes}, maxEvent)
		if err != io.EOF {
			t.Fatalf("error %v", err)
		}
		if d := sameEvents(want, got); d != "" {
			t.Fatalf("whole and in pieces differ:\n%s", d)
		}
	})
}
