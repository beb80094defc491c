package controllers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/test/docs"
)

// cached is a cache that holds some bots.
type cached struct {
	client.Reader

	bots []v1alpha1.WechatBot
	err  error
}

func (c *cached) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	list.(*v1alpha1.WechatBotList).Items = c.bots
	return c.err
}

func bot(namespace, name string, conditions ...metav1.Condition) v1alpha1.WechatBot {
	return v1alpha1.WechatBot{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Status: v1alpha1.WechatBotStatus{Conditions: conditions},
	}
}

// gather gives the series of wechatbot_condition in a registry.
func gather(t *testing.T, g prometheus.Gatherer) ([]string, error) {
	t.Helper()
	families, err := g.Gather()
	var all []string
	for _, f := range families {
		if f.GetName() != "wechatbot_condition" {
			continue
		}
		for _, m := range f.GetMetric() {
			all = append(all, fmt.Sprintf("%s %v", labelsOf(m), m.GetGauge().GetValue()))
		}
	}
	return all, err
}

func labelsOf(m *dto.Metric) string {
	var all []string
	for _, l := range m.GetLabel() {
		all = append(all, l.GetName()+"="+l.GetValue())
	}
	return strings.Join(all, ",")
}

func TestBotsAreCountedByTheirConditions(t *testing.T) {
	ready := metav1.Condition{Type: "Ready", Status: metav1.ConditionTrue, Reason: "Serving"}
	lacking := metav1.Condition{Type: "Ready", Status: metav1.ConditionFalse, Reason: "SecretNotFound"}
	stalled := metav1.Condition{Type: "Stalled", Status: metav1.ConditionTrue, Reason: "InvalidSpec"}
	cache := &cached{bots: []v1alpha1.WechatBot{bot("a", "one", ready), bot("a", "two", ready), bot("a", "three", lacking), bot("b", "one", ready, stalled), bot("c", "one")}}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(&conditions{bots: cache})
	got, err := gather(t, registry)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"name=one,namespace=a,reason=Serving,status=True,type=Ready 1", "name=one,namespace=b,reason=InvalidSpec,status=True,type=Stalled 1",
		"name=one,namespace=b,reason=Serving,status=True,type=Ready 1", "name=three,namespace=a,reason=SecretNotFound,status=False,type=Ready 1",
		"name=two,namespace=a,reason=Serving,status=True,type=Ready 1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// Past a bound there is one series for all others of a namespace.
	cache.bots = nil
	for i := range maxNamed + 3 {
		cache.bots = append(cache.bots, bot("a", fmt.Sprintf("bot-%05d", i), ready))
	}
	got, err = gather(t, registry)
	if err != nil || len(got) != maxNamed+1 || got[0] != "name=,namespace=a,reason=Serving,status=True,type=Ready 3" {
		t.Errorf("%d series (%v), the first is %s", len(got), err, got[0])
	}
	cache.err = errors.New("no cache")
	if _, err := gather(t, registry); err == nil {
		t.Error("a count that could not be made is not an error")
	}
}

// Nobody counts bots who does not work on them.
func TestConditions_AreMetrics(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	one := &cached{bots: []v1alpha1.WechatBot{bot("a", "one", metav1.Condition{Type: "Ready"})}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- (&conditions{bots: one, registry: registry}).Start(ctx) }()
	has := func() bool {
		series, err := gather(t, registry)
		return err == nil && len(series) == 1
	}
	for again := time.NewTicker(time.Millisecond); !has(); <-again.C {
		select {
		case err := <-ended:
			t.Fatalf("it ended: %v", err)
		default:
		}
	}
	// A second manager of the process leaves it at that.
	if err := (&conditions{bots: one, registry: registry}).Start(ctx); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ended; err != nil || has() {
		t.Errorf("ended with %v, counting on: %t", err, has())
	}
}

// docs/monitoring.md lists what the operator exports of its own.
func TestTheOperatorsMetricsAreDocumented(t *testing.T) {
	listed, err := docs.Metrics("../docs/monitoring.md", "operator")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(docs.Described(writes, &conditions{}), listed); diff != "" {
		t.Errorf("docs/monitoring.md lists others (-exported +listed):\n%s", diff)
	}
}

// BenchmarkConditions makes a page of metrics of as many bots as have names there.
func BenchmarkConditions(b *testing.B) {
	cache := &cached{}
	for i := range maxNamed {
		one := bot("a", fmt.Sprintf("bot-%04d", maxNamed-i))
		for _, condition := range []string{"Ready", "SecretsResolved", "DifyReachable", "SessionStoreReady", "Available", "Exposed", "CertificateReady", "Connected"} {
			one.Status.Conditions = append(one.Status.Conditions, metav1.Condition{Type: condition, Status: metav1.ConditionTrue, Reason: "Good"})
		}
		cache.bots = append(cache.bots, one)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(&conditions{bots: cache})
	page := promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	b.ReportAllocs()
	for b.Loop() {
		page.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/metrics", http.NoBody))
	}
}
