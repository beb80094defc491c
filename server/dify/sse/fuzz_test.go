package sse_test

import (
	"bytes"
	"io"
	"io/fs"
	"path"
	"slices"
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
		whole, err := readAll(bytes.NewReader(in))
		if err != io.EOF {
			t.Fatalf("error %v", err)
		}
		pieces, err := readAll(iotest.OneByteReader(bytes.NewReader(in)))
		if err != io.EOF || !cmp.Equal(whole, pieces) {
			t.Fatalf("byte by byte differs (%v):\n%s", err, cmp.Diff(whole, pieces))
		}
		if bytes.Contains(in, []byte("\ufeff")) {
			return // the oracle drops a byte order mark anywhere before the first field
		}
		// The blank line makes both agree about an event that is cut off.
		in = append(slices.Clip(in), "\n\n"...)
		ours, err := readAll(bytes.NewReader(in))
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
		out = append(out, event{Type: e.Type[:min(32, len(e.Type))], Data: e.Data})
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
				r := sse.NewReader(src)
				for {
					if _, err := r.Next(); err != nil {
						break
					}
				}
			}
		})
	}
}
