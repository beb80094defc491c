// Package bench measures a webhook server as it runs in a pod: cmd/server, built for release, in a process of its own.
//
//	go test -run=NONE -bench=. ./test/bench/
//
// Its one test, with the build tag cgroup and as root, has the server in the memory of a pod.
package bench
