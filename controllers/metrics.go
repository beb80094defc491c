package controllers

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
)

// collectTimeout bounds one look at the bots; they come from the cache.
const collectTimeout = 2 * time.Second

var conditionDesc = prometheus.NewDesc("wechatbot_condition",
	"1 for each condition of a bot, by its status and reason. Past 2,000 bots the others are counted by namespace, without a name.",
	[]string{"namespace", "name", "type", "status", "reason"}, nil)

// maxNamed bounds the series: a bot has up to 13.
const maxNamed = 2000

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
	counts := map[[5]string]int{}
	for i, bot := range oldestFirst(bots.Items) {
		name := ""
		if i < maxNamed {
			name = bot.Name
		}
		for _, condition := range bot.Status.Conditions {
			counts[[5]string{bot.Namespace, name, condition.Type, string(condition.Status), condition.Reason}]++
		}
	}
	for labels, n := range counts {
		values <- prometheus.MustNewConstMetric(conditionDesc, prometheus.GaugeValue, float64(n), labels[:]...)
	}
}

// oldestFirst puts the bots in the order in which they keep their names, if there are too many to name all.
func oldestFirst(items []v1alpha1.WechatBot) []*v1alpha1.WechatBot {
	bots := make([]*v1alpha1.WechatBot, len(items)) // a bot itself is a kilobyte to move
	for i := range items {
		bots[i] = &items[i]
	}
	if len(bots) > maxNamed {
		slices.SortFunc(bots, func(a, b *v1alpha1.WechatBot) int {
			return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
		})
	}
	return bots
}
