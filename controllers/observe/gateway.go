package observe

import (
	"context"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
)

// GatewayAPI is what is known of HTTPRoutes.
type GatewayAPI struct {
	// Known: the API server has been asked.
	Known bool
	// Served: the cluster knows HTTPRoutes, and they are watched.
	Served bool
	// Problem is why they cannot be listed although they are there.
	Problem error
}

// ErrNotYetKnown is about a bot of which nothing can be said for some moments after the operator's start.
var ErrNotYetKnown = errors.New("the API server has not yet said whether there are HTTPRoutes")

// TLSListener says whether a bot's parents have a listener for its domain that speaks TLS.
type TLSListener int

// What can be known of the listeners.
const (
	// ListenerUnknown: no Gateway is used, or not all parents could be read.
	ListenerUnknown TLSListener = iota
	// ListenerFound: there is one.
	ListenerFound
	// ListenerMissing: there is none.
	ListenerMissing
)

// listener is what Gateways and ListenerSets have in common.
type listener struct {
	name     gatewayv1.SectionName
	port     gatewayv1.PortNumber
	protocol gatewayv1.ProtocolType
	hostname *gatewayv1.Hostname
}

// tlsListener reads the parents of a bot's HTTPRoute: they accept a route to a listener without TLS just as well.
func (o *Observer) tlsListener(ctx context.Context, bot *v1alpha1.WechatBot, s *State) (TLSListener, error) {
	if bot.Spec.Gateway == nil || s.Children.HTTPRoute == nil {
		return ListenerUnknown, nil
	}
	found := ListenerMissing
	for _, parent := range bot.Spec.Gateway.ParentRefs {
		listeners, err := o.listeners(ctx, bot, parent)
		switch {
		case apierrors.IsForbidden(err), apierrors.IsNotFound(err), meta.IsNoMatchError(err):
			found = ListenerUnknown
			continue
		case err != nil:
			return ListenerUnknown, fmt.Errorf("reading the parents of the HTTPRoute: %w", err)
		}
		for _, l := range listeners {
			if l.protocol == gatewayv1.HTTPSProtocolType && l.isMeant(parent) && l.fits(bot.Spec.Domain) {
				return ListenerFound, nil
			}
		}
	}
	return found, nil
}

// listeners reads a parent live: the operator may not list other teams' Gateways.
func (o *Observer) listeners(ctx context.Context, bot *v1alpha1.WechatBot, parent v1alpha1.ParentRef) ([]listener, error) {
	key := types.NamespacedName{Namespace: parent.Namespace, Name: parent.Name}
	if key.Namespace == "" {
		key.Namespace = bot.Namespace
	}
	var all []listener
	if parent.Kind == v1alpha1.ParentListenerSet {
		set := new(gatewayv1.ListenerSet)
		if err := o.Live.Get(ctx, key, set); err != nil {
			return nil, err
		}
		for _, l := range set.Spec.Listeners {
			all = append(all, listener{l.Name, l.Port, l.Protocol, l.Hostname})
		}
		return all, nil
	}
	gateway := new(gatewayv1.Gateway)
	if err := o.Live.Get(ctx, key, gateway); err != nil {
		return nil, err
	}
	for _, l := range gateway.Spec.Listeners {
		all = append(all, listener{l.Name, l.Port, l.Protocol, l.Hostname})
	}
	return all, nil
}

func (l *listener) isMeant(parent v1alpha1.ParentRef) bool {
	return (parent.SectionName == "" || parent.SectionName == string(l.name)) && (parent.Port == 0 || parent.Port == l.port)
}

// fits tells whether a listener serves a domain: one without a hostname serves all, *.example.com every name below it.
func (l *listener) fits(domain string) bool {
	if l.hostname == nil || *l.hostname == "" {
		return true
	}
	hostname := string(*l.hostname)
	if below, wildcard := strings.CutPrefix(hostname, "*"); wildcard {
		return strings.HasSuffix(domain, below)
	}
	return hostname == domain
}
