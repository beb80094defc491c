package api

import (
	"net/netip"
	"regexp"
	"strings"
)

// kinds gives the kind of each errcode that means something to a caller. The text beside a number varies with the year and the server
// that answers, and is never looked at.
var kinds = map[int]Kind{
	-1: Busy,

	40001: TokenExpired, // as the answer to a token's request: SecretRejected
	40014: TokenExpired,
	42001: TokenExpired,

	40013: AppIDRejected,
	41002: AppIDRejected,
	40125: SecretRejected,
	41004: SecretRejected,
	40243: SecretFrozen,
	40164: IPNotListed,
	89501: IPNotListed, // the administrator has been asked to confirm the address
	89503: IPNotListed, // the administrator has to confirm the address
	89506: IPNotListed, // refused twice by the administrator, for 24 hours
	89507: IPNotListed, // refused once by the administrator, for an hour

	40200: NotEntitled, // not for this type of account, such as msgmenu on a test account
	45103: NotEntitled, // the call has been withdrawn
	48001: NotEntitled,
	50001: NotEntitled,
	61007: NotEntitled,
	48004: AccountBlocked,
	50002: AccountBlocked,

	44991: TooOften,
	45009: QuotaExhausted,
	45011: TooOften,
	48006: QuotaExhausted,

	40003: NotReceiving,
	43004: NotReceiving,
	43019: NotReceiving,
	48002: NotReceiving,
	45015: WindowClosed,
	45047: CountUsedUp,
	45080: NoRecentExchange,
	45081: AlreadyTyping,
	70000: ContentRefused, // protection of minors
	87014: ContentRefused,

	45001: TooLarge,
	45002: TooLarge,
	45003: TooLarge,
	45004: TooLarge,
	45005: TooLarge,
	45006: TooLarge,
	45007: TooLarge,
	45008: TooLarge, // more than one article

	40004: MediaRefused,
	40005: MediaRefused,
	40006: TooLarge,
	40007: MediaGone,
	40009: TooLarge,
	40010: TooLarge,
	40011: TooLarge,
	40012: TooLarge,

	40015: MenuRefused,
	40016: MenuRefused,
	40017: MenuRefused,
	40018: MenuRefused,
	40019: MenuRefused,
	40020: MenuRefused,
	40021: MenuRefused,
	40022: MenuRefused,
	40023: MenuRefused,
	40024: MenuRefused,
	40025: MenuRefused,
	40026: MenuRefused,
	40027: MenuRefused,
	40054: MenuRefused,
	40055: MenuRefused,
	40119: MenuRefused,
	40120: MenuRefused,
	40121: MenuRefused,
	45010: MenuRefused,
	46003: NoMenu,
	53600: MenuRefused,
	65301: MenuRefused,
	65303: MenuRefused,
	65304: MenuRefused,
	65305: MenuRefused,
	65306: MenuRefused,
	65307: MenuRefused,
	65308: MenuRefused,
	65309: MenuRefused,
	65316: MenuRefused,
	65317: MenuRefused,

	65400: AgentsUnavailable,
	65401: NoAgent,
	65402: NoAgent,
	65413: NoAgent,
	65414: NoAgent,
	65415: NoAgent,

	40201: NoCallback,

	40033: Invalid, // \u escapes in the body
	40035: Invalid,
	40097: Invalid,
	40202: Invalid, // the callback check's action
	40203: Invalid, // the callback check's operator
	41001: Invalid, // no token
	41005: Invalid, // no file
	41006: Invalid, // no media id
	43001: Invalid, // it must be GET
	43002: Invalid, // it must be POST
	44001: Invalid,
	44002: Invalid, // an empty body
	44004: Invalid, // an empty text
	45072: Invalid, // typing's command
	47001: Invalid, // not JSON
	76003: Invalid, // the quota's path
	76021: Invalid,
	76022: Invalid,
}

// refusal makes the error of an errcode other than 0.
func refusal(api string, code int, message string) *Error {
	e := &Error{API: api, Code: code, Kind: kinds[code], RID: requestID(message)}
	switch {
	case e.Kind == "":
		e.Kind = Refused
	case code == 40001 && api == tokenAPI:
		e.Kind = SecretRejected
	case code == 40164:
		e.Address = refusedAddress(message)
	}
	return e
}

// refusedAddress reads the address out of the text of errcode 40164, which has it nowhere else. Seen:
// "invalid ip 120.208.99.249 ipv6 ::ffff:120.208.99.249, not in whitelist rid: …", with "hint: […]" in place of the rid before.
func refusedAddress(message string) netip.Addr {
	_, rest, _ := strings.Cut(message, "invalid ip ")
	end := strings.IndexAny(rest, " ,")
	if end < 0 {
		end = len(rest)
	}
	address, err := netip.ParseAddr(rest[:end])
	if err != nil {
		return netip.Addr{}
	}
	return address.Unmap().WithZone("")
}

var rid = regexp.MustCompile(`rid: ([0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8})\b`)

// requestID reads the id that newer servers end an errmsg with. It is all of an errmsg that may be logged.
func requestID(message string) string {
	if found := rid.FindStringSubmatch(message); found != nil {
		return found[1]
	}
	return ""
}
