package cluster

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"
)

// forward passes what connects to a listener, which is the machine's, on to an address of this network namespace.
// It returns when the listener fails.
func forward(ctx context.Context, listener net.Listener, target string) {
	for {
		outer, err := listener.Accept()
		if err != nil {
			slog.Error("Forwarding to "+target+" has ended", "err", err)
			return
		}
		go func() {
			if err := join(ctx, outer, target); err != nil {
				slog.Debug("A connection to "+target+" failed", "err", err)
			}
		}()
	}
}

// join copies both ways until both ends are done. A half that is closed is closed on the other side too: HTTP/1.0
// clients and `kubectl exec` need it.
func join(ctx context.Context, outer net.Conn, target string) error {
	defer outer.Close() //nolint:errcheck // everything has been written, or the peer has gone
	inner, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", target)
	if err != nil {
		return err
	}
	defer inner.Close() //nolint:errcheck // as above
	var both sync.WaitGroup
	var there, back error
	both.Go(func() { there = pump(inner, outer) })
	both.Go(func() { back = pump(outer, inner) })
	both.Wait()
	return errors.Join(there, back)
}

func pump(to, from net.Conn) error {
	_, err := io.Copy(to, from)
	if tcp, ok := to.(*net.TCPConn); ok {
		err = errors.Join(err, tcp.CloseWrite())
	}
	if err != nil {
		// What cannot be passed on need not be read: the other direction ends too.
		err = errors.Join(err, from.Close(), to.Close())
	}
	return err
}
