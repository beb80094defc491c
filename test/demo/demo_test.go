package demo

import (
	"context"
	"testing"
)

// start runs a demo on a free port until the test ends.
func start(t *testing.T, o Options) *Demo {
	t.Helper()
	o.Listen = "127.0.0.1:0"
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("running the demo: %v", err)
		}
		if err := d.Close(); err != nil {
			t.Errorf("closing the demo: %v", err)
		}
	})
	return d
}
