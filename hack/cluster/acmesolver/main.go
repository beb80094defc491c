// Command acmesolver answers ACME's HTTP-01 challenges. cert-manager starts a pod of it for each challenge.
package main

import (
	"errors"
	"flag"
	"net/http"

	"github.com/cert-manager/cert-manager/pkg/issuer/acme/http/solver"
	"k8s.io/klog/v2"
)

func main() {
	s := &solver.HTTP01Solver{}
	flag.IntVar(&s.ListenPort, "listen-port", 8089, "port to listen on")
	flag.StringVar(&s.Domain, "domain", "", "domain that the challenge is for")
	flag.StringVar(&s.Token, "token", "", "token of the challenge")
	flag.StringVar(&s.Key, "key", "", "answer to the challenge")
	flag.Parse()
	if err := s.Listen(klog.Background()); err != nil && !errors.Is(err, http.ErrServerClosed) {
		klog.Fatalf("acmesolver: %v", err)
	}
}
