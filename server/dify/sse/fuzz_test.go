package sse_test

import (
	"bytes"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	oracle "github.com/tmaxmax/go-sse"

	"github.com/wechatbot/wechatbot-operator/server/dify/sse"
	"github.com/wechatbot/wechatbot-operator/testdata"
)

// FuzzNext compares with an independent parser, and a stream in pieces with the same stream whole.
func FuzzNext(f *testing.F) {
	for _, c := range streams {
		f.Add([]byte(c.in))
	}
	files, err := fs.Glob(testdata.Dify, "dify/sse/*.sse")
	if err != nil || len(files) == 0 {
		f.Fatalf("no recorded streams: %v", err)
	}
	for _, name := range files {
		if b, err := testdata.Dify.ReadFile(name); err != nil {
			f.Fatal(err)
		} else if len(b) < 8<<10 {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		whole, err := readAll(bytes.NewReader(in), 0)
		if err != io.EOF {
			t.Fatalf("error %v", err)
		}
		pieces, err := readAll(iotest.OneByteReader(bytes.NewReader(in)), 0)
		if err != io.EOF || !cmp.Equal(whole, pieces) {
			t.Fatalf("byte by byte differs (%v):\n%s", err, cmp.Diff(whole, pieces))
		}
		if small, err := readAll(bytes.NewReader(in), 24); err != io.EOF {
			t.Fatalf("with a small bound: error %v", err)
		} else if len(small) != len(whole) && !slices.ContainsFunc(whole, func(e event) bool { return len(e.Type) > 15 }) {
			t.Fatalf("a small bound gives %d events, a large one %d", len(small), len(whole))
		}
		if bytes.Contains(in, []byte("\ufeff")) {
			return // the oracle drops a byte order mark anywhere before the first field
		}
		// The blank line makes both agree about an event that is cut off.
		in = append(slices.Clip(in), "\n\n"...)
		ours, err := readAll(bytes.NewReader(in), 0)
		if err != io.EOF {
			t.Fatalf("error %v", err)
		}
		theirs, ok := readOracle(in)
		if d := cmp.Diff(theirs, significant(ours)); ok && d != "" {
			t.Fatalf("differs from the oracle (-oracle +ours)\n%s", d)
		}
	})
}

// readOracle returns false if the oracle refuses the stream.
func readOracle(in []byte) ([]event, bool) {
	var out []event
	for e, err := range oracle.Read(bytes.NewReader(in), &oracle.ReadConfig{MaxEventSize: len(in) + 4096}) {
		if err != nil {
			return nil, false
		}
		out = append(out, event{Type: e.Type, Data: e.Data})
	}
	return significant(out), true
}

// significant leaves out what the parsers may take differently: events without type and data (the oracle gives one
// for an id), and whether empty data was there at all.
func significant(es []event) []event {
	var out []event
	for _, e := range es {
		if e.NoData = false; e.Type != "" || e.Data != "" {
			out = append(out, e)
		}
	}
	return out
}

func FuzzBound(f *testing.F) {
	f.Add("data: abc\n\n", 5)
	f.Add(":\r\ndata: 0123456789\r\ndata: 0123456789\r\n\r\n", 3)
	f.Fuzz(func(t *testing.T, in string, maxEvent int) {
		maxEvent = 16 + max(maxEvent, 0)%64
		whole, err := readAll(strings.NewReader(in), maxEvent)
		if err != io.EOF {
			t.Fatalf("error %v", err)
		}
		pieces, err := readAll(iotest.OneByteReader(strings.NewReader(in)), maxEvent)
		if err != io.EOF {
			t.Fatalf("error %v", err)
		}
		if d := sameEvents(whole, pieces); d != "" {
			t.Fatalf("byte by byte differs:\n%s", d)
		}
		for _, e := range whole {
			if len(e.Data) > maxEvent || len(e.Type) > maxEvent {
				t.Fatalf("event of %d bytes exceeds %d", len(e.Data), maxEvent)
			}
		}
	})
}

func BenchmarkNext(b *testing.B) {
	for _, name := range []string{"chat-long-markdown-6k.1.13.3.sse", "synth-chatflow-huge-node-event-new.sse"} {
		b.Run(name, func(b *testing.B) {
			in, err := testdata.Dify.ReadFile(path.Join("dify/sse", name))
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			src := bytes.NewReader(in)
			for b.Loop() {
				src.Reset(in)
				r := sse.NewReader(src, 0)
				for {
					if _, err := r.Next(); err != nil {
						break
					}
				}
			}
		})
	}
}
