// Package relay brings the connections that are made to a port of a pod to a process outside the cluster, over the standard input and
// output of a command that `kubectl exec` runs in the pod. For tests: it buffers nothing, and one that reads nothing holds all others up.
package relay

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// frame is what passes between the two sides: bytes of a connection, or its end.
type frame struct {
	Conn int
	Data []byte
	End  bool
}

// side is one end of the relay, with the connections that it has.
type side struct {
	in  *gob.Decoder
	out *gob.Encoder

	writing sync.Mutex // of out
	mu      sync.Mutex // of conns
	conns   map[int]net.Conn
	all     sync.WaitGroup // of those that carry
}

func newSide(in io.Reader, out io.Writer) *side {
	return &side{in: gob.NewDecoder(in), out: gob.NewEncoder(out), conns: make(map[int]net.Conn)}
}

func (s *side) send(f frame) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.out.Encode(f) //nolint:wrapcheck // the caller does
}

// carry passes on what comes from a connection, until it ends.
func (s *side) carry(id int, c net.Conn) {
	s.mu.Lock()
	s.conns[id] = c
	s.mu.Unlock()
	s.all.Go(func() {
		buffer := make([]byte, 16<<10)
		for {
			n, err := c.Read(buffer)
			if n > 0 && s.send(frame{Conn: id, Data: buffer[:n]}) != nil || err != nil {
				break
			}
		}
		if s.forget(id) {
			_ = s.send(frame{Conn: id, End: true}) // if it fails, the other side has ended
		}
	})
}

// forget closes a connection; false if that was done before.
func (s *side) forget(id int) bool {
	s.mu.Lock()
	c := s.conns[id]
	delete(s.conns, id)
	s.mu.Unlock()
	if c == nil {
		return false
	}
	_ = c.Close() // nobody reads it any more
	return true
}

func (s *side) find(id int) net.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns[id]
}

// follow does what the other side says until it ends. began makes a connection for a number that is new; nil: there is none.
func (s *side) follow(began func() net.Conn) error {
	defer s.end()
	last := 0
	for {
		var f frame
		switch err := s.in.Decode(&f); {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrClosedPipe):
			return nil
		case err != nil:
			return fmt.Errorf("reading from the other side: %w", err)
		}
		if f.Conn > last && began != nil {
			last = f.Conn
			if c := began(); c != nil {
				s.carry(f.Conn, c)
			}
		}
		c := s.find(f.Conn)
		if c == nil {
			continue // it has ended on this side
		}
		if f.End {
			s.forget(f.Conn)
			continue
		}
		if _, err := c.Write(f.Data); err != nil && s.forget(f.Conn) {
			_ = s.send(frame{Conn: f.Conn, End: true}) // as in carry
		}
	}
}

// end closes all connections.
func (s *side) end() {
	s.mu.Lock()
	var ids []int
	for id := range s.conns {
		ids = append(ids, id)
	}
	s.mu.Unlock()
	for _, id := range ids {
		s.forget(id)
	}
	s.all.Wait()
}

// Serve passes on the connections that l accepts, until in ends or ctx does. It is the pod's side, and closes l.
func Serve(ctx context.Context, l net.Listener, in io.ReadCloser, out io.Writer) error {
	s := newSide(in, out)
	defer context.AfterFunc(ctx, func() { _ = in.Close() })()
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for id := 1; ; id++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if s.send(frame{Conn: id}) != nil {
				_ = c.Close() // the other side has ended
				return
			}
			s.carry(id, c)
		}
	})
	err := s.follow(nil)
	_ = l.Close() // it ends accepting
	accepting.Wait()
	s.end()
	return err
}

// Listener accepts the connections that are made to the pod.
type Listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// Listen gives the connections that the pod's side has. It ends with in.
func Listen(in io.Reader, out io.Writer) *Listener {
	l := &Listener{conns: make(chan net.Conn), closed: make(chan struct{})}
	s := newSide(in, out)
	go func() {
		defer func() { _ = l.Close() }()
		_ = s.follow(func() net.Conn {
			near, far := net.Pipe()
			select {
			case l.conns <- far:
				return near
			case <-l.closed:
				return nil
			}
		})
	}()
	return l
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. Connections that were accepted go on.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return &net.UnixAddr{Name: "relay", Net: "unix"} }
