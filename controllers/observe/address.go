package observe

import (
	"cmp"
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
)

// IndexAddress is the cache's index of bots by what they are reached at.
const IndexAddress = "address"

// Address is the bot's value in IndexAddress.
func Address(bot *v1alpha1.WechatBot) string { return desired.URL(bot) }

// Addresses are the bot's values in IndexAddress: that of its spec, and of a suspended bot also the one that it is left at,
// should its spec have been changed since.
func Addresses(bot *v1alpha1.WechatBot) []string {
	all := []string{Address(bot)}
	if bot.Spec.Suspend && bot.Status.URL != "" && bot.Status.URL != all[0] {
		all = append(all, bot.Status.URL)
	}
	return all
}

// Claim is how strong a bot's claim to the address of its spec is; the strongest keeps it.
type Claim int

// The claims, the weakest first.
const (
	// ClaimLost: another bot was found to have the address, or the bot is suspended and not exposed there.
	ClaimLost Claim = iota
	// ClaimNew: the bot is not exposed at the address, or not yet.
	ClaimNew
	// ClaimServed: followers reach the bot at the address. Nobody takes it away.
	ClaimServed
)

// ClaimOf reads a bot's claim to an address from its status, which the operator wrote when it last looked at the bot: a status
// that is about another address, since the spec was changed, says nothing. A suspended bot is left as it is: it keeps
// what it has, and asks for nothing.
func ClaimOf(bot *v1alpha1.WechatBot, address string) Claim {
	exposed := meta.FindStatusCondition(bot.Status.Conditions, v1alpha1.ConditionExposed)
	about := exposed != nil && bot.Status.URL == address
	switch {
	case about && exposed.Status == metav1.ConditionTrue:
		return ClaimServed
	case bot.Spec.Suspend:
		return ClaimLost
	case about && exposed.Reason == v1alpha1.ReasonDomainConflict:
		return ClaimLost
	}
	return ClaimNew
}

// conflictingBot finds the bot with the same domain and path that keeps them: whoever is exposed there; between two
// that are not, the older.
func (o *Observer) conflictingBot(ctx context.Context, bot *v1alpha1.WechatBot) (*types.NamespacedName, error) {
	var claimants v1alpha1.WechatBotList
	err := o.Cache.List(ctx, &claimants, client.MatchingFields{IndexAddress: Address(bot)}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("listing the bots of %s: %w", bot.Spec.Domain, err)
	}
	first := bot
	for i := range claimants.Items {
		if other := &claimants.Items[i]; other.DeletionTimestamp.IsZero() && compareClaims(other, first, Address(bot)) < 0 {
			first = other
		}
	}
	if first == bot || first.UID == bot.UID {
		return nil, nil //nolint:nilnil // nobody else has it
	}
	return &types.NamespacedName{Namespace: first.Namespace, Name: first.Name}, nil
}

// compareClaims is negative if a's claim to an address goes before b's. Of two made in the same second, the first by name does.
func compareClaims(a, b *v1alpha1.WechatBot, address string) int {
	return cmp.Or(
		cmp.Compare(ClaimOf(b, address), ClaimOf(a, address)),
		a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
		cmp.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name),
	)
}
