package media

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestHold(t *testing.T) {
	f := New(Options{Budget: 1000})
	file, err := f.Hold(t.Context(), strings.NewReader("#!AMR\nx"), 7, 500)
	if err != nil || string(file.Data) != "#!AMR\nx" || file.Type != "audio/amr" || f.held(t) != 7 {
		t.Fatalf("%+v, %v, %d held", file, err, f.held(t))
	}
	file.Release()
	for name, test := range map[string]struct {
		r     io.Reader
		size  int64
		limit int64
		want  Kind
	}{
		"said to be too large":        {strings.NewReader("12345"), 5, 4, TooLarge},
		"too large":                   {strings.NewReader("12345"), -1, 4, TooLarge},
		"larger than was said":        {strings.NewReader("12345"), 4, 10, TooLarge},
		"smaller than was said":       {strings.NewReader("12345"), 6, 10, Unreachable},
		"broken":                      {io.MultiReader(strings.NewReader("12345"), brokenReader{}), -1, 10, Unreachable},
		"broken at the end":           {io.MultiReader(strings.NewReader("12345"), brokenReader{}), 5, 10, Unreachable},
		"more than the whole budget":  {strings.NewReader(strings.Repeat("x", 1001)), -1, 5000, TooLarge},
		"said to be more than it all": {strings.NewReader(strings.Repeat("x", 1001)), 1001, 5000, TooLarge},
	} {
		if _, err := f.Hold(t.Context(), test.r, test.size, test.limit); KindOf(err) != test.want || f.held(t) != 0 {
			t.Errorf("%s: %v, %d held; want %s", name, err, f.held(t), test.want)
		}
	}
	for _, size := range []int{0, 1, block - 1, block, block + 1, 3 * block} {
		content := strings.Repeat("x", size)
		f := New(Options{Budget: 1 << 20})
		file, err := f.Hold(t.Context(), struct{ io.Reader }{strings.NewReader(content)}, -1, 1<<20)
		if err != nil || string(file.Data) != content || f.held(t) != int64(size) {
			t.Errorf("%d bytes: %v, %d held", size, err, f.held(t))
		}
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// The files of all who fetch at a time fit into the budget: who comes later waits, in order, and goes on when one is released.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := New(Options{Budget: 25 << 20})
		const size = 10 << 20
		files := make(chan *File, 8)
		var fetching sync.WaitGroup
		for range 8 {
			fetching.Go(func() {
				file, err := f.Hold(t.Context(), bytes.NewReader(make([]byte, size)), size, size)
				if err != nil {
					t.Error(err)
					return
				}
				files <- file
			})
		}
		for range 8 {
			synctest.Wait()
			if n := f.held(t); n > 25<<20 || n == 0 {
				t.Fatalf("%d bytes are held", n)
			}
			if len(files) > 2 {
				t.Fatalf("%d files are held", len(files))
			}
			(<-files).Release()
		}
		fetching.Wait()
		if f.held(t) != 0 {
			t.Error("bytes are held at the end")
		}
		blocking, err := f.Hold(t.Context(), bytes.NewReader(make([]byte, 20<<20)), 20<<20, 20<<20)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := f.Hold(ctx, strings.NewReader("x"), 10<<20, 10<<20); KindOf(err) != Canceled || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who waits in vain gets %v", err)
		}
		blocking.Release()
	})
}

// A file costs its size, and one whose size nobody has said at most twice that, all garbage counted.
func TestMemory(t *testing.T) {
	const size = 10 << 20
	w := newWorld(t, Options{})
	var chunked atomic.Bool
	content := append(slices.Clone(jpeg), make([]byte, size-len(jpeg))...)
	w.serve(func(rw http.ResponseWriter, _ *http.Request) {
		if !chunked.Load() {
			rw.Header().Set("Content-Length", strconv.Itoa(size))
		}
		_, _ = rw.Write(content)
	})
	allocated := func(do func()) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		do()
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	_, port, _ := net.SplitHostPort(w.plain.Listener.Addr().String())
	origin := "http://127.0.0.1:" + port // without TLS, which allocates on both sides
	one := func() {
		if err := w.fetchOnly(mustInternet(t, origin), origin+"/x"); err != nil {
			t.Error(err)
		}
	}
	const others = 512 << 10 // the server's and the connection's
	if n := allocated(one); n > size+others {
		t.Errorf("a file of known size cost %d bytes in all, %.2f times its size", n, float64(n)/size)
	}
	chunked.Store(true)
	if n := allocated(one); n > 2*size+others {
		t.Errorf("a file of unknown size cost %d bytes in all, %.2f times its size", n, float64(n)/size)
	}
}

// fetchOnly is fetch without the copy.
func (w *world) fetchOnly(p Policy, address string) error {
	file, err := w.Fetch(w.Context(), Request{URL: address, Policy: p})
	if err != nil {
		return err
	}
	file.Release()
	return nil
}
