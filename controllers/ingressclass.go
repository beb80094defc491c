package controllers

import (
	"context"
	"sync"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/controllers/observe"
)

// defaultClass finds the cluster's default IngressClass for an operator that may not read IngressClasses: the API server
// gives it to an Ingress without a class that is created, also where it is told to store nothing.
type defaultClass struct {
	client  client.Writer
	now     func() time.Time
	recheck time.Duration

	mu    sync.Mutex
	name  string
	class observe.Class
	next  time.Time
}

// dryRunTimeout bounds the question, which is not worth more: without an answer an Ingress keeps the class that it has.
const dryRunTimeout = 5 * time.Second

// find is asked in every reconcile; the API server is asked at most once per recheck.
func (d *defaultClass) find(ctx context.Context, namespace string) (string, observe.Class) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.now().Before(d.next) {
		return d.name, d.class
	}
	ctx, cancel := context.WithTimeout(ctx, dryRunTimeout)
	defer cancel()
	ingress := &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "wechatbot-default-class-"},
		Spec: networkingv1.IngressSpec{DefaultBackend: &networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{
			Name: "none", Port: networkingv1.ServiceBackendPort{Number: 80},
		}}},
	}
	err := d.client.Create(ctx, ingress, client.DryRunAll)
	d.next = d.now().Add(d.recheck)
	switch {
	case err != nil:
		d.name, d.class = "", observe.ClassUnknown
	case ingress.Spec.IngressClassName == nil:
		d.name, d.class = "", observe.NoDefaultClass
	default:
		d.name, d.class = *ingress.Spec.IngressClassName, observe.ClassFound
	}
	return d.name, d.class
}
