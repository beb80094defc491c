package observe

import (
	"slices"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

func TestLed(t *testing.T) {
	rule := func(host string, paths ...string) networkingv1.IngressRule {
		r := networkingv1.IngressRule{Host: host}
		r.HTTP = &networkingv1.HTTPIngressRuleValue{}
		for _, path := range paths {
			r.HTTP.Paths = append(r.HTTP.Paths, networkingv1.HTTPIngressPath{Path: path})
		}
		return r
	}
	for name, c := range map[string]struct {
		of   client.Object
		want []string
	}{
		"the webhook and a file": {
			&networkingv1.Ingress{Spec: networkingv1.IngressSpec{Rules: []networkingv1.IngressRule{rule("a.example.com", "/wechat", "/MP_verify_1.txt")}}},
			[]string{"https://a.example.com/wechat", "https://a.example.com/MP_verify_1.txt"},
		},
		"a rule without paths": {&networkingv1.Ingress{Spec: networkingv1.IngressSpec{Rules: []networkingv1.IngressRule{{Host: "a.example.com"}}}}, nil},
		"a route": {
			&gatewayv1.HTTPRoute{Spec: gatewayv1.HTTPRouteSpec{
				Hostnames: []gatewayv1.Hostname{"a.example.com", "b.example.com"},
				Rules: []gatewayv1.HTTPRouteRule{{Matches: []gatewayv1.HTTPRouteMatch{
					{Path: &gatewayv1.HTTPPathMatch{Value: new("/wechat")}}, {Method: new(gatewayv1.HTTPMethodGet)},
				}}},
			}},
			[]string{"https://a.example.com/wechat", "https://b.example.com/wechat"},
		},
		"an empty route": {&gatewayv1.HTTPRoute{}, nil},
	} {
		if got := Led(c.of); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
