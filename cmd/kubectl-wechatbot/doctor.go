package main

import (
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/wechatbot/wechatbot-operator/cmd/kubectl-wechatbot/doctor"
	"github.com/wechatbot/wechatbot-operator/cmd/kubectl-wechatbot/show"
)

// doctorCommand looks at URLs by a way from outside; nil is the network.
func doctorCommand(a *access, from *doctor.Outside) *cobra.Command {
	var connect, authority string
	c := &cobra.Command{
		Use:   "doctor BOT",
		Short: "Find out what is wrong with a bot",
		Long: `Find out what is wrong with a bot: what the operator and the webhook servers say, the domain's DNS record, the certificate as WeChat
judges it, and the URL's answer to the check that WeChat's console makes. Each line is ok, wrong with what to do, or ? if it could
not be looked at. It changes nothing.

Exit code: 0 if nothing is wrong, 1 if something is, 2 if the bot could not be examined.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.bots,
		RunE: func(c *cobra.Command, args []string) error {
			at, err := a.cluster()
			if err != nil {
				return err
			}
			roots, err := trusted(authority)
			if err != nil {
				return err
			}
			facts, err := at.inspect(c.Context(), args[0])
			if err != nil {
				return err
			}
			outside := doctor.Outside{
				LookupHost: net.DefaultResolver.LookupHost, Dial: (&net.Dialer{}).DialContext, Connect: connect, Roots: roots, Now: time.Now,
			}
			if from != nil {
				outside = *from
			}
			all := doctor.Examine(c.Context(), facts, outside)
			if err := show.Findings(c.OutOrStdout(), all); err != nil {
				return err //nolint:wrapcheck // of the terminal
			}
			if doctor.AnyWrong(all) {
				return errFound
			}
			return nil
		},
	}
	s := c.Flags()
	s.StringVar(&connect, "connect", "", "HOST:PORT to connect to instead of the domain's, such as the ingress controller's before the domain has a DNS record")
	s.StringVar(&authority, "trust", "", "file of a certificate authority (PEM) to trust beside this system's, where something in between has certificates of its own; WeChat does not trust it")
	return c
}

// trusted are the authorities; nil means this system's.
func trusted(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil //nolint:nilnil // as said
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--trust: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--trust: %s has no certificate in PEM form", file)
	}
	return pool, nil
}
