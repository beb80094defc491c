package bench

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// dify stands in for Dify as thinly as possible, since it shares the machine with what is measured: it streams a first
// text at once, and the end when it is told to.
type dify struct {
	api *httptest.Server

	mu      sync.Mutex
	waiting map[string]chan struct{} // by question; closed to end its answer
	ended   map[string]time.Time     // when the end was handed to the system
}

func startDify(b *testing.B) *dify {
	b.Helper()
	d := &dify{waiting: make(map[string]chan struct{}), ended: make(map[string]time.Time)}
	d.api = httptest.NewServer(d)
	b.Cleanup(d.api.Close)
	return d
}

func (d *dify) url() string { return d.api.URL + "/v1" }

func (d *dify) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var question struct{ Query, User string }
	if err := json.NewDecoder(r.Body).Decode(&question); err != nil {
		http.Error(w, "unreadable", http.StatusBadRequest)
		return
	}
	end := make(chan struct{})
	d.mu.Lock()
	d.waiting[question.Query] = end
	d.mu.Unlock()
	ids := `"task_id":"t","message_id":"m","conversation_id":"` + question.User + `"`
	w.Header().Set("Content-Type", "text/event-stream")
	flush := func() bool { return http.NewResponseController(w).Flush() == nil }
	_, _ = fmt.Fprintf(w, "data: {\"event\":\"message\",%s,\"answer\":\"The answer is: \"}\n\n", ids)
	if !flush() {
		return
	}
	select {
	case <-end:
	case <-r.Context().Done():
		return
	}
	_, _ = fmt.Fprintf(w, "data: {\"event\":\"message\",%s,\"answer\":\"forty-two.\"}\n\ndata: {\"event\":\"message_end\",%s}\n\n", ids, ids)
	at := time.Now() // the answer is complete; what the network adds is the server's to wait for
	flush()
	d.mu.Lock()
	d.ended[question.Query] = at
	d.mu.Unlock()
}

// end lets the answer to a question end.
func (d *dify) end(question string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.waiting[question])
	delete(d.waiting, question)
}

// asked is how many answers wait for their end.
func (d *dify) asked() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.waiting)
}

// await waits until so many answers wait for their end.
func (d *dify) await(n int, most time.Duration) bool {
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	late := time.After(most)
	for d.asked() < n {
		select {
		case <-look.C:
		case <-late:
			return false
		}
	}
	return true
}

func (d *dify) endedAt(question string) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ended[question]
}
