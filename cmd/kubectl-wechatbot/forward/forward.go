// Package forward reaches a port of a pod through the API server, as kubectl port-forward does: the caller's rights in the
// cluster decide. It knows nothing of bots.
package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
)

// Open opens a port on this machine's loopback that leads to a port of a pod, and returns its address. It stays open until
// ctx ends.
func Open(ctx context.Context, access *rest.Config, namespace, pod string, port int) (address string, err error) {
	dialer, err := dialerOf(access, namespace, pod)
	if err != nil {
		return "", err
	}
	ready := make(chan struct{})
	forwarder, err := portforward.NewOnAddressesForStreamingWithContext(ctx, dialer, []string{"127.0.0.1"}, []string{fmt.Sprintf("0:%d", port)}, ready, io.Discard, io.Discard)
	if err != nil {
		return "", fmt.Errorf("forwarding a port to pod %s: %w", pod, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- forwarder.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-ended:
		if err == nil {
			err = errors.New("it ended at once")
		}
		return "", fmt.Errorf("forwarding a port to pod %s: %w", pod, err)
	case <-ctx.Done():
		return "", fmt.Errorf("forwarding a port to pod %s: %w", pod, ctx.Err())
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		return "", fmt.Errorf("forwarding a port to pod %s: %w", pod, err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(ports[0].Local))), nil
}

// dialerOf makes connections to a pod over WebSocket, or over SPDY where the API server or a proxy before it knows no other.
func dialerOf(access *rest.Config, namespace, pod string) (httpstream.Dialer, error) {
	at, err := addressOf(access, namespace, pod)
	if err != nil {
		return nil, err
	}
	transport, upgrader, err := spdy.RoundTripperFor(access)
	if err != nil {
		return nil, fmt.Errorf("preparing a connection to pod %s: %w", pod, err)
	}
	older := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, at)
	newer, err := portforward.NewSPDYOverWebsocketDialerForStreaming(at, access)
	if err != nil {
		return nil, fmt.Errorf("preparing a connection to pod %s: %w", pod, err)
	}
	return portforward.NewFallbackDialerForStreaming(newer, older, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	}), nil
}

func addressOf(access *rest.Config, namespace, pod string) (*url.URL, error) {
	c := rest.CopyConfig(access)
	c.APIPath, c.GroupVersion = "/api", &corev1.SchemeGroupVersion
	c.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	client, err := rest.RESTClientFor(c)
	if err != nil {
		return nil, fmt.Errorf("finding the API server: %w", err)
	}
	return client.Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("portforward").URL(), nil
}
