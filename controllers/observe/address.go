package observe

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

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
	// ClaimHeld: the bot's Ingress or HTTPRoute leads the address to it, also if its spec says another one by now.
	ClaimHeld
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

// conflictingBot finds the bot that keeps the address of this one: whoever is exposed there; else whose Ingress or HTTPRoute leads
// there, until it does no longer, as the spec alone moves no follower; else the older.
//
// Two bots that exchange their addresses do not wait for each other: a bot that finds its new address taken gives up the old one.
func (o *Observer) conflictingBot(ctx context.Context, bot *v1alpha1.WechatBot, s *State) error {
	address := Address(bot)
	var bots v1alpha1.WechatBotList
	if err := o.Cache.List(ctx, &bots, client.MatchingFields{IndexAddress: address}, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing the bots of %s: %w", bot.Spec.Domain, err)
	}
	holders, err := o.holders(ctx, address, s.GatewayAPI)
	if err != nil {
		return err
	}
	claim := func(of *v1alpha1.WechatBot) Claim {
		c := ClaimOf(of, address)
		if holders[of.UID] != nil {
			c = max(c, ClaimHeld)
		}
		return c
	}
	claimants := slices.Collect(maps.Values(holders))
	for i := range bots.Items {
		claimants = append(claimants, &bots.Items[i])
	}
	first := bot
	for _, other := range claimants {
		if other.DeletionTimestamp.IsZero() && compareClaims(other, first, claim) < 0 {
			first = other
		}
	}
	if first.UID != bot.UID {
		s.ConflictingBot = &types.NamespacedName{Namespace: first.Namespace, Name: first.Name}
		s.ConflictMoves = Address(first) != address && !first.Spec.Suspend
	}
	return nil
}

// compareClaims is negative if a's claim goes before b's. Of two made in the same second, the first by name does.
func compareClaims(a, b *v1alpha1.WechatBot, claim func(*v1alpha1.WechatBot) Claim) int {
	return cmp.Or(
		cmp.Compare(claim(b), claim(a)),
		a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
		cmp.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name),
	)
}

// IndexLed is the cache's index of Ingresses and HTTPRoutes by Led.
const IndexLed = "led"

// Led are the addresses that an Ingress or an HTTPRoute leads to its bot, that of the webhook first. They are not the spec's where the
// API server has refused to change it.
func Led(o client.Object) []string {
	var all []string
	switch o := o.(type) {
	case *networkingv1.Ingress:
		for _, rule := range o.Spec.Rules {
			if rule.HTTP == nil {
				continue
			}
			for _, path := range rule.HTTP.Paths {
				all = append(all, "https://"+rule.Host+path.Path)
			}
		}
	case *gatewayv1.HTTPRoute:
		for _, host := range o.Spec.Hostnames {
			for _, rule := range o.Spec.Rules {
				for _, match := range rule.Matches {
					if match.Path != nil && match.Path.Value != nil {
						all = append(all, "https://"+string(host)+*match.Path.Value)
					}
				}
			}
		}
	}
	return all
}

// holders are the bots whose Ingress or HTTPRoute leads an address to them. One that is being deleted holds nothing, as nobody can
// stop it, nor does one whose bot is gone.
func (o *Observer) holders(ctx context.Context, address string, routes bool) (map[types.UID]*v1alpha1.WechatBot, error) {
	var ingresses networkingv1.IngressList
	var httpRoutes gatewayv1.HTTPRouteList
	lists := []client.ObjectList{&ingresses}
	if routes {
		lists = append(lists, &httpRoutes)
	}
	for _, list := range lists {
		err := o.Cache.List(ctx, list, client.MatchingFields{IndexLed: address}, client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency)
		if err != nil {
			return nil, fmt.Errorf("listing what leads to %s: %w", address, err)
		}
	}
	var leading []client.Object
	for i := range ingresses.Items {
		leading = append(leading, &ingresses.Items[i])
	}
	for i := range httpRoutes.Items {
		leading = append(leading, &httpRoutes.Items[i])
	}
	holders := map[types.UID]*v1alpha1.WechatBot{}
	for _, child := range leading {
		owner := metav1.GetControllerOf(child)
		if owner == nil || !child.GetDeletionTimestamp().IsZero() {
			continue
		}
		bot := new(v1alpha1.WechatBot)
		err := o.Cache.Get(ctx, types.NamespacedName{Namespace: child.GetNamespace(), Name: owner.Name}, bot, client.UnsafeDisableDeepCopy)
		if client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("reading the bot of what leads to %s: %w", address, err)
		}
		if err == nil && bot.UID == owner.UID {
			holders[bot.UID] = bot
		}
	}
	return holders, nil
}
