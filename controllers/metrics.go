package controllers

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
)

// collectTimeout bounds one look at the bots; they come from the cache.
const collectTimeout = 2 * time.Second

var conditionDesc = prometheus.NewDesc("wechatbot_condition",
	"How many bots of a namespace have a condition with this status and reason.", []string{"namespace", "type", "status", "reason"}, nil)

// conditions counts the bots by their conditions whenever the metrics are read. A manager runs it where the operator
// works, so that of several operators one counts.
type conditions struct {
	bots     client.Reader
	registry prometheus.Registerer
}

// Start has the conditions among the metrics until ctx ends.
func (c *conditions) Start(ctx context.Context) error {
	if err := c.registry.Register(c); err != nil {
		if alreadyRegistered(err) { // another manager of this process counts
			return nil
		}
		return fmt.Errorf("registering metrics: %w", err)
	}
	<-ctx.Done()
	c.registry.Unregister(c)
	return nil
}

// Describe is a prometheus.Collector's.
func (c *conditions) Describe(descs chan<- *prometheus.Desc) { descs <- conditionDesc }

// Collect is a prometheus.Collector's.
func (c *conditions) Collect(values chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
	defer cancel()
	var bots v1alpha1.WechatBotList
	if err := c.bots.List(ctx, &bots, client.UnsafeDisableDeepCopy); err != nil {
		values <- prometheus.NewInvalidMetric(conditionDesc, fmt.Errorf("listing the bots: %w", err))
		return
	}
	counts := map[[4]string]int{}
	for i := range bots.Items {
		for _, condition := range bots.Items[i].Status.Conditions {
			counts[[4]string{bots.Items[i].Namespace, condition.Type, string(condition.Status), condition.Reason}]++
		}
	}
	for labels, n := range counts {
		values <- prometheus.MustNewConstMetric(conditionDesc, prometheus.GaugeValue, float64(n), labels[:]...)
	}
}
