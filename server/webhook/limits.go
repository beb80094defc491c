package webhook

import (
	"container/list"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"
)

const (
	maxBody       = 256 << 10       // bytes; WeChat's own pushes are below 16 KiB
	budgetTimeout = 2 * time.Second // for other bodies to be read
	unsignedShare = 4               // one part in so many of the budget for bodies is for requests without a valid signature
)

// Limits bound the memory that clients of the webhook can use. Anybody can be one.
type Limits struct {
	Connections     int   // at a time; more wait to be accepted
	Unauthenticated int   // connections that have not sent a valid request of WeChat's; one more closes the oldest
	Bodies          int64 // bytes of the bodies that are read at a time
}

// LimitsFor returns the limits of a process that may use so many bytes of memory. A connection takes up to 20 KiB.
func LimitsFor(memory int64) Limits {
	return Limits{
		Connections:     int(min(max(memory>>10/48, 64), 16<<10)),
		Unauthenticated: int(min(max(memory>>10/256, 32), 4<<10)),
		Bodies:          min(max(memory>>6, unsignedShare<<19), 8<<20),
	}
}

// bodySizes are the sizes of the buffers that bodies are read into. A body that fills the last one is too large. WeChat's
// pushes are below 4 KiB in plain mode and below 16 KiB in secure mode.
var bodySizes = [...]int64{8 << 10, 32 << 10, maxBody + 1}

// buffers are reused as soon as a body is parsed, so a held delivery keeps none.
var buffers [len(bodySizes)]sync.Pool

// bodyBudget is the memory for bodies. Requests without a valid signature have a part of their own, so that WeChat's
// pushes do not wait for them.
type bodyBudget struct{ signed, unsigned *semaphore.Weighted }

func newBodyBudget(size int64) bodyBudget {
	unsigned := size / unsignedShare
	return bodyBudget{semaphore.NewWeighted(size - unsigned), semaphore.NewWeighted(unsigned)}
}

var (
	errTooLarge = errors.New("the body is too large")
	errNoBudget = errors.New("too many other bodies are being read")
)

// read waits for the budget, reads the body of a request, and calls use with it. The body is only valid during the call.
func (b bodyBudget) read(r *http.Request, signed bool, use func(body []byte) error) error {
	length := r.ContentLength
	switch {
	case length > maxBody:
		return errTooLarge
	case length < 0:
		length = maxBody // chunked: not known yet
	}
	class := slices.IndexFunc(bodySizes[:], func(size int64) bool { return length < size })
	budget := b.unsigned
	if signed {
		budget = b.signed
	}
	if !budget.TryAcquire(bodySizes[class]) {
		ctx, cancel := context.WithTimeout(r.Context(), budgetTimeout)
		defer cancel()
		if budget.Acquire(ctx, bodySizes[class]) != nil {
			return errNoBudget
		}
	}
	defer budget.Release(bodySizes[class])
	buffer, ok := buffers[class].Get().(*[]byte)
	if !ok {
		buffer = new(make([]byte, bodySizes[class]))
	}
	defer buffers[class].Put(buffer)
	for n := 0; n < len(*buffer); {
		more, err := r.Body.Read((*buffer)[n:])
		n += more
		if errors.Is(err, io.EOF) {
			return use((*buffer)[:n])
		}
		if err != nil {
			return err
		}
	}
	return errTooLarge
}

// unauthenticated are the connections that have not sent a valid request of WeChat's yet, the oldest first.
type unauthenticated struct {
	limit  int
	closed prometheus.Counter

	mu    sync.Mutex
	conns list.List // of *conn
}

// add takes a new connection, and closes the oldest if there are more than the limit.
func (u *unauthenticated) add(c *conn) {
	u.mu.Lock()
	c.element = u.conns.PushBack(c)
	var oldest *conn
	if u.conns.Len() > u.limit {
		oldest = u.conns.Front().Value.(*conn) //nolint:errcheck,forcetypeassert // the list has nothing else
		u.removeLocked(oldest)
	}
	u.mu.Unlock()
	if oldest != nil {
		u.closed.Inc()
		_ = oldest.Conn.Close() // its reader gets the error
	}
}

// remove is for a connection that is authenticated, or closed.
func (u *unauthenticated) remove(c *conn) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.removeLocked(c)
}

func (u *unauthenticated) removeLocked(c *conn) {
	if c.element != nil {
		u.conns.Remove(c.element)
		c.element = nil
	}
}
