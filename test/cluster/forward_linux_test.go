package cluster

import (
	"io"
	"net"
	"testing"
	"testing/iotest"
)

func TestForwardPassesBothWaysAndTheirEnds(t *testing.T) {
	target := listenerOf(t)
	outer := listenerOf(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		forward(t.Context(), outer, target.Addr().String())
	}()
	t.Cleanup(func() {
		outer.Close() //nolint:errcheck // it was open
		<-done
	})
	go func() {
		conn, err := target.Accept()
		if err != nil {
			return
		}
		question, _ := io.ReadAll(conn)                            // ends only when the client's half does
		_, _ = io.WriteString(conn, "answer to "+string(question)) // its loss fails the test below
		_ = conn.Close()
	}()

	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", outer.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // read to its end
	if _, err := io.WriteString(conn, "question"); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(conn); err != nil || string(answer) != "answer to question" {
		t.Errorf("answer %q, %v", answer, err)
	}
}

func TestForwardClosesWhatCannotBePassedOn(t *testing.T) {
	target := listenerOf(t)
	address := target.Addr().String()
	if err := target.Close(); err != nil {
		t.Fatal(err)
	}
	client, server := net.Pipe()
	if err := join(t.Context(), server, address); err == nil {
		t.Error("no error though nobody listens")
	}
	if err := iotest.TestReader(client, nil); err != nil {
		t.Errorf("the client is not told: %v", err)
	}
}

func listenerOf(t *testing.T) net.Listener {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() }) //nolint:errcheck // it may be closed already
	return listener
}
