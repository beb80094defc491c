package dify

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
)

// unreachable returns the kind of an error of connecting.
func unreachable(err error) Kind {
	var (
		dns       *net.DNSError
		operation *net.OpError
		unknownCA x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
		alert     tls.AlertError
		untrusted *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &dns):
		if dns.IsNotFound && !dns.IsTemporary {
			return NoSuchHost
		}
		return Unreachable
	case errors.Is(err, syscall.ECONNREFUSED):
		return ConnectionRefused
	case errors.As(err, &unknownCA):
		return UnknownAuthority
	case errors.As(err, &hostname), errors.As(err, &invalid), errors.As(err, &untrusted):
		return BadCertificate
	case errors.As(err, &record):
		return NoTLS
	case errors.As(err, &alert):
		return TLSFailed
	case errors.As(err, &operation) && operation.Op == "remote error": // a TLS alert
		return TLSFailed
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), isTimeout(err):
		return ConnectTimeout
	}
	return Unreachable
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// speaksTLS reports whether the response to a plain request was a TLS alert.
func speaksTLS(err error) bool {
	return err != nil && strings.Contains(err.Error(), `malformed HTTP response "\x15\x03`)
}

// wantsTLS reports whether a page is a server's refusal of a plain request on its TLS port.
func wantsTLS(page []byte) bool {
	for _, words := range []string{
		"plain http request was sent to https port", // nginx
		"client sent an http request to an https server",
		"speaking plain http to an ssl-enabled server port", // Apache
		"this combination of host and port requires tls",    // Tomcat
	} {
		if bytes.Contains(bytes.ToLower(page), []byte(words)) {
			return true
		}
	}
	return false
}
