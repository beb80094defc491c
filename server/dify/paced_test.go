package dify

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// wire is a connection's receiving side: what was written and not read yet.
type wire struct {
	net.Conn
	mu     sync.Mutex
	come   *sync.Cond
	unread int
	over   bool
	reads  int
	last   time.Time // that something was read
}

func newWire() *wire {
	w := &wire{}
	w.come = sync.NewCond(&w.mu)
	return w
}

func (w *wire) write(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unread += n
	w.over = n == 0
	w.come.Broadcast()
}

func (w *wire) Read(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.unread == 0 && !w.over {
		w.come.Wait()
	}
	w.reads++
	n := min(w.unread, len(b))
	w.unread -= n
	if n == 0 {
		return 0, io.EOF
	}
	w.last = time.Now()
	return n, nil
}

func TestStreamIsReadInSteps(t *testing.T) {
	const event = 80 // bytes; those of a step are read at once
	for name, c := range map[string]struct {
		events, bytes int
		apart         time.Duration
		reads         int           // at most
		late          time.Duration // the end, at most
	}{
		"a fast stream":           {200, event, 5 * time.Millisecond, 1000/50 + readBurst + 1, readEvery},
		"a slow stream":           {20, event, 60 * time.Millisecond, 21, 0},
		"a few events at once":    {3, event, 0, 4, 0},
		"a large event":           {1, 1 << 20, 0, 1<<10 + 1, 0},
		"large events, and quick": {50, 10 << 10, 5 * time.Millisecond, 50*10 + 50, readEvery},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWire()
				var last time.Time
				go func() {
					for i := range c.events {
						if i > 0 {
							time.Sleep(c.apart)
						}
						w.write(c.bytes)
						synctest.Wait()
					}
					last = time.Now()
					w.write(0)
				}()
				got, err := io.Copy(io.Discard, &limitedReads{&paced{Conn: w, ctx: t.Context()}})
				if err != nil || int(got) != c.events*c.bytes {
					t.Errorf("read %d bytes, %v, want %d", got, err, c.events*c.bytes)
				}
				if w.reads > c.reads {
					t.Errorf("%d reads, want at most %d", w.reads, c.reads)
				}
				if late := w.last.Sub(last); late > c.late {
					t.Errorf("the end was read %v late, want at most %v", late, c.late)
				}
			})
		})
	}
}

// limitedReads reads as much at once as the client does.
type limitedReads struct{ r io.Reader }

func (l *limitedReads) Read(b []byte) (int, error) { return l.r.Read(b[:min(len(b), streamBuf)]) }

func TestStreamThatIsNotNeededIsNotAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w := newWire()
		p := &paced{Conn: w, ctx: ctx}
		two := make([]byte, 2) // of which one comes each time: nothing is left behind
		for range readBurst {
			w.write(1)
			if _, err := p.Read(two); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		cancel()
		w.write(1)
		if _, err := p.Read(two); err != nil || time.Since(began) > 0 {
			t.Errorf("read after %v, %v, want at once", time.Since(began), err)
		}
	})
}
