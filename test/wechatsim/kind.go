package wechatsim

import (
	"fmt"
	"strings"
)

// AccountKind is what sort of account it is, on which depends what it may call.
type AccountKind int

const (
	// VerifiedService is a 认证服务号: it may call everything.
	VerifiedService AccountKind = iota
	// VerifiedSubscription is a 认证订阅号 (公众号).
	VerifiedSubscription
	// UnverifiedService is a 未认证服务号.
	UnverifiedService
	// UnverifiedSubscription is a 未认证订阅号 of an enterprise, which could be verified.
	UnverifiedSubscription
	// PersonalSubscription is a 订阅号 of a person; it can never be verified.
	PersonalSubscription
	// TestAccount is a sandbox account (测试号): nearly all of VerifiedService, with smaller quotas.
	TestAccount
)

var kindNames = map[AccountKind]string{
	VerifiedService: "verified-service", VerifiedSubscription: "verified-subscription", UnverifiedService: "unverified-service",
	UnverifiedSubscription: "unverified-subscription", PersonalSubscription: "personal", TestAccount: "test",
}

// String gives the name that UnmarshalText reads.
func (k AccountKind) String() string {
	if name, ok := kindNames[k]; ok {
		return name
	}
	return fmt.Sprintf("AccountKind(%d)", int(k))
}

// MarshalText gives the kind as String does.
func (k AccountKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the name of a kind.
func (k *AccountKind) UnmarshalText(text []byte) error {
	for kind, name := range kindNames {
		if strings.EqualFold(name, string(text)) {
			*k = kind
			return nil
		}
	}
	return fmt.Errorf("there is no kind of account %q", text)
}

// verified says whether the account may call what is 仅认证. Every personal account is one that may not.
func (k AccountKind) verified() bool {
	return k == VerifiedService || k == VerifiedSubscription || k == TestAccount
}
