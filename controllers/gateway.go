package controllers

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/source"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/observe"
)

// gatewayAPI finds out whether the cluster knows HTTPRoutes, and has them watched once they can be listed. A watch from
// the start would end an operator where they are not installed; and where they cannot be listed, for want of rights or
// of a conversion webhook, only bots that ask for them are told.
type gatewayAPI struct {
	mgr        manager.Manager
	controller controller.Controller
	now        func() time.Time
	recheck    time.Duration

	waiting handler.MapFunc // the bots that wait for the addresses of a route
	indexed bool            // only one question is asked at a time

	mu     sync.Mutex
	asking bool
	answer observe.GatewayAPI
	next   time.Time
}

// listTimeout bounds the question, which no reconcile waits for.
const listTimeout = 10 * time.Second

// served is asked in every reconcile and answers at once, with what was found last. The API server is asked beside it,
// at most once per recheck, and never again once HTTPRoutes are watched.
func (g *gatewayAPI) served(ctx context.Context, namespace string) observe.GatewayAPI {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.answer.Served && !g.asking && !g.now().Before(g.next) {
		g.asking = true
		go g.ask(context.WithoutCancel(ctx), namespace)
	}
	return g.answer
}

func (g *gatewayAPI) ask(ctx context.Context, namespace string) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	served, err := g.watch(ctx, namespace)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asking, g.next = false, g.now().Add(g.recheck)
	g.answer = observe.GatewayAPI{Known: true, Served: served, Problem: err}
}

func (g *gatewayAPI) watch(ctx context.Context, namespace string) (bool, error) {
	kind := schema.GroupKind{Group: gatewayv1.GroupName, Kind: "HTTPRoute"}
	_, err := g.mgr.GetRESTMapper().RESTMapping(kind, gatewayv1.GroupVersion.Version)
	switch {
	case meta.IsNoMatchError(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("asking for HTTPRoutes: %w", err)
	}
	// A list of one's own first: an informer says nothing of why it gets none.
	if err := g.mgr.GetAPIReader().List(ctx, new(gatewayv1.HTTPRouteList), client.InNamespace(namespace), client.Limit(1)); err != nil {
		return false, err
	}
	if !g.indexed {
		if err := g.mgr.GetFieldIndexer().IndexField(ctx, &gatewayv1.HTTPRoute{}, observe.IndexLed, observe.Led); err != nil {
			return false, fmt.Errorf("indexing HTTPRoutes by address: %w", err)
		}
		g.indexed = true
	}
	// The informer before the watch: the first read would fail before the watch has made it.
	informer, err := g.mgr.GetCache().GetInformer(ctx, &gatewayv1.HTTPRoute{}, cache.BlockUntilSynced(true))
	if err != nil {
		return false, fmt.Errorf("caching HTTPRoutes: %w", err)
	}
	if !informer.HasSynced() {
		return false, fmt.Errorf("caching HTTPRoutes: none came within %s", listTimeout)
	}
	owner := handler.TypedEnqueueRequestForOwner[*gatewayv1.HTTPRoute](g.mgr.GetScheme(), g.mgr.GetRESTMapper(), &v1alpha1.WechatBot{}, handler.OnlyControllerOwner())
	if err := g.controller.Watch(source.Kind(g.mgr.GetCache(), &gatewayv1.HTTPRoute{}, owner)); err != nil {
		return false, fmt.Errorf("watching HTTPRoutes: %w", err)
	}
	waiting := source.Kind[client.Object](g.mgr.GetCache(), &gatewayv1.HTTPRoute{}, handler.EnqueueRequestsFromMapFunc(g.waiting), ledChanged())
	if err := g.controller.Watch(waiting); err != nil {
		return false, fmt.Errorf("watching HTTPRoutes for who waits for their addresses: %w", err)
	}
	return true, nil
}
