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

// event is an event in one piece.
type event struct {
	Type, Data        string
	NoData, Truncated bool
}

func readAll(r io.Reader) ([]event, error) {
	var out []event
	reader := sse.NewReader(r)
	for {
		hasData, err := reader.Next()
		if err != nil {
			return out, err
		}
		e := event{NoData: !hasData}
		for hasData {
			piece, err := reader.Data()
			e.Data += string(piece)
			if err != nil {
				e.Truncated = !errors.Is(err, io.EOF)
				break
			}
		}
		e.Type = string(reader.Type())
		out = append(out, e)
	}
}

var streams = map[string]struct {
	in   string
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
	"cut after the type":                     {in: "event: ping", want: []event{{Type: "ping", NoData: true}}},
	"cut inside the byte order mark":         {in: "\ufeffdata: a", want: []event{{Data: "a", Truncated: true}}},
	"empty stream":                           {in: ""},
	"a type longer than is kept":             {in: "event: " + strings.Repeat("x", 99) + "\ndata: b\n\n", want: []event{{Type: strings.Repeat("x", 32), Data: "b"}}},
	"a long comment":                         {in: ":" + strings.Repeat("x", 9999) + "\ndata: b\n\n", want: []event{{Data: "b"}}},
	"many comments":                          {in: strings.Repeat(": keep-alive\n", 99) + "data: b\n\n", want: []event{{Data: "b"}}},
	"a type behind the data":                 {in: "data: b\nevent: x\n\ndata: c\n\n", want: []event{{Type: "x", Data: "b"}, {Data: "c"}}},
	"a name that begins like a field's":      {in: "datax: a\neventful: b\ndat: c\ne: d\ndata: e\n\n", want: []event{{Data: "e"}}},
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
				got, err := readAll(wrap(strings.NewReader(c.in)))
				if err != io.EOF {
					t.Errorf("%s: error %v, want io.EOF", kind, err)
				}
				if d := cmp.Diff(c.want, got); d != "" {
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
			got, err := readAll(io.MultiReader(strings.NewReader(c.in), iotest.ErrReader(broken)))
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
	if _, err := sse.NewReader(idle{}).Next(); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("error %v, want io.ErrNoProgress", err)
	}
}

func TestNextStaysAtTheEnd(t *testing.T) {
	r := sse.NewReader(strings.NewReader("data: a"))
	if hasData, err := r.Next(); err != nil || !hasData {
		t.Fatalf("Next() = %t, %v", hasData, err)
	}
	for range 3 {
		if _, err := r.Next(); err != io.EOF {
			t.Errorf("error %v, want io.EOF again", err)
		}
		if piece, err := r.Data(); err != io.EOF {
			t.Errorf("Data() = %q, %v behind the end", piece, err)
		}
	}
}

func TestNextPassesOverWhatWasNotRead(t *testing.T) {
	large := strings.Repeat("好", 700_000)
	in := "data: " + large + "\ndata: " + large + "\nevent: x\n\ndata: b\n\n"
	for read := range 4 {
		r := sse.NewReader(iotest.HalfReader(strings.NewReader(in)))
		if hasData, err := r.Next(); err != nil || !hasData {
			t.Fatalf("Next() = %t, %v", hasData, err)
		}
		for range read {
			if _, err := r.Data(); err != nil {
				t.Fatal(err)
			}
		}
		if hasData, err := r.Next(); err != nil || !hasData || len(r.Type()) > 0 {
			t.Fatalf("Next() = %t, %v, type %q", hasData, err, r.Type())
		}
		if piece, err := r.Data(); string(piece) != "b" {
			t.Errorf("Data() = %q, %v", piece, err)
		}
	}
}

func TestEventsOfAnyLengthCostNoMemory(t *testing.T) {
	const size = 64 << 20
	in := io.MultiReader(strings.NewReader("data: "), io.LimitReader(endless{}, size), strings.NewReader("\n\n"))
	r := sse.NewReader(in)
	allocated := testing.AllocsPerRun(1, func() {
		if _, err := r.Next(); err != nil && !errors.Is(err, io.EOF) {
			t.Error(err)
		}
	})
	if allocated > 0 {
		t.Errorf("passing over an event of %d MiB took %v allocations", size>>20, allocated)
	}
}

// endless gives one letter for ever.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestNoEventIsHeldBack(t *testing.T) {
	// What has come of a stream that goes on: the event must be had without another byte.
	for name, in := range map[string]string{
		"LF": "data: a\n\n", "CRLF": "data: a\r\n\r\n", "CR": "data: a\r\r", "without a space": "data:a\n\n", "a mark": "\ufeffdata: a\n\n",
		"behind an empty line": "\ndata: a\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			r := sse.NewReader(iotest.OneByteReader(io.MultiReader(strings.NewReader(in), iotest.ErrReader(errors.New("asked for more")))))
			if hasData, err := r.Next(); err != nil || !hasData {
				t.Fatalf("Next() = %t, %v", hasData, err)
			}
			var got []byte
			for {
				piece, err := r.Data()
				got = append(got, piece...)
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if string(got) != "a" {
				t.Errorf("data %q", got)
			}
		})
	}
	r := sse.NewReader(io.MultiReader(strings.NewReader("event: ping\n\n"), iotest.ErrReader(errors.New("asked for more"))))
	if hasData, err := r.Next(); err != nil || hasData || string(r.Type()) != "ping" {
		t.Errorf("a ping: %t, %v, type %q", hasData, err, r.Type())
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
		sizes := rapid.SliceOfN(rapid.IntRange(1, 50), 1, 20).Draw(t, "sizes")

		want, _ := readAll(strings.NewReader(in.String()))
		got, err := readAll(&chunks{in.String(), sizes})
		if err != io.EOF {
			t.Fatalf("error %v", err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("whole and in pieces differ:\n%s", d)
		}
	})
}
