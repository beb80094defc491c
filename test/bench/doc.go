// Package bench measures a webhook server as it runs in a pod: cmd/server, built for release, in a process of its own.
//
//	go test -run=NONE -bench=. ./test/bench/
//
// It has benchmarks only.
package bench
