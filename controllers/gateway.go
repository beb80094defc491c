package controllers

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/source"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
)

// gatewayAPI finds out whether the cluster knows HTTPRoutes, and has them watched once it does. A watch from the start
// would end an operator where they are not installed.
type gatewayAPI struct {
	mgr        manager.Manager
	controller controller.Controller
	now        func() time.Time
	recheck    time.Duration

	mu    sync.Mutex
	found bool
	next  time.Time
}

// served is asked in every reconcile; the API server is asked at most once per recheck, and never again once the API
// is there.
func (g *gatewayAPI) served(ctx context.Context) (bool, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.found || g.now().Before(g.next) {
		return g.found, nil
	}
	kind := schema.GroupKind{Group: gatewayv1.GroupName, Kind: "HTTPRoute"}
	_, err := g.mgr.GetRESTMapper().RESTMapping(kind, gatewayv1.GroupVersion.Version)
	switch {
	case meta.IsNoMatchError(err):
		g.next = g.now().Add(g.recheck)
		return false, nil
	case err != nil:
		return false, fmt.Errorf("asking for HTTPRoutes: %w", err)
	}
	// The informer first: the first read would fail before the watch has made it.
	if _, err := g.mgr.GetCache().GetInformer(ctx, &gatewayv1.HTTPRoute{}); err != nil {
		return false, fmt.Errorf("caching HTTPRoutes: %w", err)
	}
	owner := handler.TypedEnqueueRequestForOwner[*gatewayv1.HTTPRoute](g.mgr.GetScheme(), g.mgr.GetRESTMapper(), &v1alpha1.WechatBot{}, handler.OnlyControllerOwner())
	if err := g.controller.Watch(source.Kind(g.mgr.GetCache(), &gatewayv1.HTTPRoute{}, owner)); err != nil {
		return false, fmt.Errorf("watching HTTPRoutes: %w", err)
	}
	g.found = true
	return true, nil
}
