package observe

import (
	"cmp"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/wechatbot/wechatbot-operator/api/serverstatus"
)

// Servers is what a bot's webhook servers say of themselves at GET /status, all that run taken together. Equal facts are
// equal values, whichever pods they come from.
type Servers struct {
	// Off: the operator asks no server. Then the rest is empty.
	Off bool
	// Asked: the servers were asked. Otherwise the rest is empty.
	Asked bool
	// Failure is why no server has answered; empty if one has. With it the rest but Pushes is empty.
	Failure StatusFailure
	// Pushes is what comes to the webhook, lately.
	Pushes Pushes
	// StoreError is what a server says of a session store that does not answer; empty if all say that it does.
	StoreError string
	// Account is what WeChat's API has shown; nil if no server has an AppSecret.
	Account *ServersAccount
}

// ServersAccount is what the servers of one bot say of its account.
type ServersAccount struct {
	// Errors are those of any server, ordered.
	Errors []serverstatus.CallError
	// Addresses are all that WeChat has refused, ordered.
	Addresses []string
	// Capabilities are yes if one server has seen it, no if one has and none has seen a yes.
	Capabilities serverstatus.Capabilities
	// Menu is that of the server that has the account's duty; nil if none says.
	Menu *serverstatus.Menu
}

// Pushes is what comes to a bot's webhook.
type Pushes string

// The values of Pushes.
const (
	// PushesNone: nothing has come yet.
	PushesNone Pushes = "none"
	// PushesAuthentic: WeChat's pushes come.
	PushesAuthentic Pushes = "authentic"
	// PushesWrongSignature: since the last authentic push others have come, not signed with the Token.
	PushesWrongSignature Pushes = "wrongSignature"
	// PushesUndecryptable: likewise, signed well but with another AppID or EncodingAESKey.
	PushesUndecryptable Pushes = "undecryptable"
)

// StatusFailure is why a server's status could not be had.
type StatusFailure string

// The values of StatusFailure.
const (
	StatusNoConnection StatusFailure = "noConnection" // nothing answers: a network policy, say
	StatusRefused      StatusFailure = "refused"      // nobody listens
	StatusNoAnswer     StatusFailure = "noAnswer"     // the server hangs
	StatusNotServed    StatusFailure = "notServed"    // the server is of a version that has no status
	StatusUnreadable   StatusFailure = "unreadable"   // what answers is no server's status
)

const (
	maxErrors    = 32 // of calls, over all servers
	maxAddresses = 16
)

// serverAnswer is what became of asking one server.
type serverAnswer struct {
	pod     types.UID
	failure StatusFailure
	status  serverstatus.Status
}

// sum takes answers together. pushes is what has become of the counts.
func sum(answers []serverAnswer, pushes Pushes) Servers {
	all := Servers{Asked: true, Pushes: pushes}
	answered := false
	for i := range answers {
		a := &answers[i]
		if a.failure != "" {
			all.Failure = max(all.Failure, a.failure)
			continue
		}
		answered = true
		if !a.status.Store.OK {
			all.StoreError = max(all.StoreError, storeWords(a.status.Store.Error))
		}
		all.addAccount(a.status.Account)
	}
	if answered {
		all.Failure = ""
	}
	if all.Account != nil {
		all.Account.order()
	}
	return all
}

func (s *Servers) addAccount(a *serverstatus.Account) {
	if a == nil {
		return
	}
	if s.Account == nil {
		s.Account = &ServersAccount{}
	}
	is := s.Account
	is.Errors = append(is.Errors, a.LastErrors...)
	for _, text := range a.Addresses {
		if address, err := netip.ParseAddr(text); err == nil {
			is.Addresses = append(is.Addresses, address.String())
		}
	}
	join(&is.Capabilities.CustomerService, a.Capabilities.CustomerService)
	join(&is.Capabilities.Media, a.Capabilities.Media)
	join(&is.Capabilities.Menu, a.Capabilities.Menu)
	join(&is.Capabilities.Handover, a.Capabilities.Handover)
	if is.Menu == nil {
		is.Menu = a.Menu
	}
}

func join(is *serverstatus.Capability, says serverstatus.Capability) {
	switch {
	case says == serverstatus.Yes, says == serverstatus.No && *is != serverstatus.Yes:
		*is = says
	case *is == "":
		*is = serverstatus.Unknown
	}
}

// order makes the lists of all servers one that is the same for the same facts.
func (a *ServersAccount) order() {
	slices.SortFunc(a.Errors, func(x, y serverstatus.CallError) int {
		return cmp.Or(cmp.Compare(x.API, y.API), cmp.Compare(x.Errcode, y.Errcode))
	})
	a.Errors = slices.Compact(a.Errors)
	a.Errors = slices.Clip(a.Errors[:min(len(a.Errors), maxErrors)])
	slices.Sort(a.Addresses)
	a.Addresses = slices.Compact(a.Addresses)
	a.Addresses = slices.Clip(a.Addresses[:min(len(a.Addresses), maxAddresses)])
}

// clientPort is that of our own end of a connection, which is another one each time.
var clientPort = regexp.MustCompile(`[0-9a-fA-F.:\[\]]+:\d+->`)

// storeWords are a server's words about its store, in a form that stays the same while the cause does.
func storeWords(words string) string {
	words = strings.Join(strings.Fields(clientPort.ReplaceAllString(words, "")), " ")
	if words == "" {
		return "it does not say why"
	}
	return clip(words)
}

// counts are a server's own, since its start.
type counts struct{ authentic, wrongSignature, undecryptable int64 }

func countsOf(p serverstatus.Pushes) counts {
	return counts{p.Authentic, p.WrongSignature, p.Undecryptable}
}

func (c counts) plus(other counts) counts {
	return counts{c.authentic + other.authentic, c.wrongSignature + other.wrongSignature, c.undecryptable + other.undecryptable}
}

// since is what came since an earlier look at the same pod. One whose container was started again counts from zero.
func (c counts) since(before counts) counts {
	d := counts{c.authentic - before.authentic, c.wrongSignature - before.wrongSignature, c.undecryptable - before.undecryptable}
	if d.authentic < 0 || d.wrongSignature < 0 || d.undecryptable < 0 {
		return c
	}
	return d
}

// enoughWrong is how many pushes with a wrong signature it takes to doubt a Token that was right before: WeChat delivers
// each message three times, and anybody may send one with a signature of his own making.
const enoughWrong = 3

// pushTrend judges what came by what came before.
type pushTrend struct {
	is    Pushes
	wrong int64 // signatures since the last authentic push
}

// follow takes in what came since the last look.
func (t *pushTrend) follow(came counts) {
	switch {
	case came.authentic > 0:
		t.is, t.wrong = PushesAuthentic, 0
	case came.undecryptable > 0:
		t.is = PushesUndecryptable
	case came.wrongSignature > 0:
		t.wrong += came.wrongSignature
		if t.is != PushesAuthentic || t.wrong >= enoughWrong {
			t.is = PushesWrongSignature
		}
	}
}

// begin takes in what came before the first look. Whether the authentic pushes among it came before or after the others,
// nobody knows: then what was known before stays.
func (t *pushTrend) begin(was Pushes, came counts) {
	t.is = was
	if was == "" {
		t.is = PushesNone
	}
	mixed := came.authentic > 0 && came.wrongSignature+came.undecryptable > 0
	if mixed && t.is != PushesNone {
		return
	}
	t.follow(came)
}
