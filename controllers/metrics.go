package controllers

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	all := oldestFirst(bots.Items)
	named := all[:min(len(all), maxNamed)]
	known := pairs{}
	others := map[[4]string]int{}
	for _, bot := range all[len(named):] {
		for i := range bot.Status.Conditions {
			c := &bot.Status.Conditions[i]
			others[[4]string{bot.Namespace, c.Reason, string(c.Status), c.Type}]++
		}
	}
	for of, n := range others {
		values <- &series{known.labels(pair("name", ""), of), float64(n)}
	}
	// In the order of the page, which is then not sorted anew: for 2,000 bots that takes a quarter of the time.
	slices.SortFunc(named, func(a, b *v1alpha1.WechatBot) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Namespace, b.Namespace))
	})
	for _, bot := range named {
		name := pair("name", bot.Name)
		for _, c := range byReason(bot.Status.Conditions) {
			values <- &series{known.labels(name, [4]string{bot.Namespace, c.Reason, string(c.Status), c.Type}), 1}
		}
	}
}

// series is a prometheus.Metric. Those that the package makes have copies of all their labels: 12 MB for 2,000 bots.
type series struct {
	labels []*dto.LabelPair
	count  float64
}

// Desc is a prometheus.Metric's.
func (s *series) Desc() *prometheus.Desc { return conditionDesc }

// Write is a prometheus.Metric's.
func (s *series) Write(m *dto.Metric) error {
	m.Label, m.Gauge = s.labels, &dto.Gauge{Value: &s.count}
	return nil
}

// pairs are the labels of a page, each once but for the bots' names.
type pairs map[[2]string]*dto.LabelPair

// labels are those of a series, by their names as the registry wants them.
func (p pairs) labels(name *dto.LabelPair, others [4]string) []*dto.LabelPair {
	all := make([]*dto.LabelPair, 1, 1+len(others))
	all[0] = name
	for i, label := range [4]string{"namespace", "reason", "status", "type"} {
		known, ok := p[[2]string{label, others[i]}]
		if !ok {
			known = pair(label, others[i])
			p[[2]string{label, others[i]}] = known
		}
		all = append(all, known)
	}
	return all
}

func pair(name, value string) *dto.LabelPair { return &dto.LabelPair{Name: &name, Value: &value} }

// byReason puts a bot's conditions in the order of their series.
func byReason(conditions []metav1.Condition) []*metav1.Condition {
	all := make([]*metav1.Condition, len(conditions)) // the cache's own
	for i := range conditions {
		all[i] = &conditions[i]
	}
	slices.SortFunc(all, func(a, b *metav1.Condition) int {
		return cmp.Or(cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Status, b.Status), cmp.Compare(a.Type, b.Type))
	})
	return all
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
