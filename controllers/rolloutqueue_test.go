package controllers

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
	"github.com/wechatbot/wechatbot-operator/controllers/observe"
)

// upgrade is bots whose operator was replaced: all want to roll.
type upgrade struct {
	*rollouts

	bots  []*v1alpha1.WechatBot
	woken []types.NamespacedName
	clock time.Time
}

func newUpgrade(tb testing.TB, bots, atOnce int) *upgrade {
	tb.Helper()
	u := &upgrade{clock: time.Now()}
	build := fake.NewClientBuilder().WithScheme(Scheme()).WithIndex(&appsv1.Deployment{}, indexRolling, rolling).WithStatusSubresource(&appsv1.Deployment{})
	for i := range bots {
		bot := &v1alpha1.WechatBot{ObjectMeta: metav1.ObjectMeta{Namespace: "bots", Name: fmt.Sprintf("bot-%05d", i)}}
		u.bots = append(u.bots, bot)
		build.WithObjects(bot, deployment(bot))
	}
	u.rollouts = &rollouts{
		reader: build.Build(), atOnce: atOnce, now: func() time.Time { return u.clock }, begun: map[types.NamespacedName]time.Time{},
		wake: func(_ context.Context, bot types.NamespacedName) { u.woken = append(u.woken, bot) },
	}
	return u
}

// deployment is a bot's, of the operator before, and well.
func deployment(bot *v1alpha1.WechatBot) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: bot.Namespace, Name: bot.Name, Labels: naming.Labels(bot, naming.Server), Annotations: map[string]string{desired.AnnotationTemplate: "old"},
		},
		Spec:   appsv1.DeploymentSpec{Replicas: new(int32(1))},
		Status: appsv1.DeploymentStatus{Replicas: 1, UpdatedReplicas: 1},
	}
}

// mayRoll asks as a reconcile does.
func (u *upgrade) mayRoll(tb testing.TB, i int) bool {
	tb.Helper()
	d := new(appsv1.Deployment)
	if err := u.reader.Get(tb.Context(), client.ObjectKeyFromObject(u.bots[i]), d); err != nil {
		tb.Fatal(err)
	}
	want, err := desired.Deployment(u.bots[i], desired.Operator{Image: "new"}, "hash")
	if err != nil {
		tb.Fatal(err)
	}
	waits, err := u.mustWait(tb.Context(), u.bots[i], &observe.State{Children: observe.Children{Deployment: d}}, &desired.Children{Deployment: want})
	if err != nil {
		tb.Fatal(err)
	}
	return !waits
}

// becomes has a bot's Deployment be of a template and roll, or not.
func (u *upgrade) becomes(tb testing.TB, i int, template string, updated int32) {
	tb.Helper()
	writer, ok := u.reader.(client.Client)
	if !ok {
		tb.Fatal("no client")
	}
	d := new(appsv1.Deployment)
	if err := writer.Get(tb.Context(), client.ObjectKeyFromObject(u.bots[i]), d); err != nil {
		tb.Fatal(err)
	}
	d.Annotations[desired.AnnotationTemplate] = template
	if err := writer.Update(tb.Context(), d); err != nil {
		tb.Fatal(err)
	}
	d.Status.UpdatedReplicas = updated
	if err := writer.Status().Update(tb.Context(), d); err != nil {
		tb.Fatal(err)
	}
}

// The order of those who wait is kept, whoever asks again or goes.
func TestRollouts_Queue(t *testing.T) {
	u := newUpgrade(t, 6, 2)
	for i := range u.bots {
		if got := u.mayRoll(t, i); got != (i < 2) {
			t.Errorf("bot %d may roll: %v", i, got)
		}
	}
	for i := 2; i < 6; i++ {
		u.mayRoll(t, i) // once more, of no effect
	}
	u.forget(client.ObjectKeyFromObject(u.bots[3]))
	for i := range 2 { // they roll, and the cache shows it
		u.becomes(t, i, "new", 0)
	}
	u.clock = u.clock.Add(writePatience + time.Second)
	if u.mayRoll(t, 2) {
		t.Error("a third bot rolls")
	}
	u.becomes(t, 0, "new", 1)
	want, err := desired.Deployment(u.bots[0], desired.Operator{Image: "new"}, "hash")
	if err != nil {
		t.Fatal(err)
	}
	u.becomes(t, 0, want.Annotations[desired.AnnotationTemplate], 1)
	u.woken = nil
	u.mayRoll(t, 0) // it has finished: the one who waits longest is woken
	if diff := cmp.Diff([]types.NamespacedName{client.ObjectKeyFromObject(u.bots[2])}, u.woken); diff != "" {
		t.Errorf("woken (-want +got):\n%s", diff)
	}
	if !u.mayRoll(t, 2) || u.mayRoll(t, 4) {
		t.Error("one place was free, for the bot that waited longest")
	}
	if got := u.waiting.first(9); len(got) != 2 || got[0].Name != "bot-00004" || got[1].Name != "bot-00005" {
		t.Errorf("waiting are %v", got)
	}
}

// A rollout that somebody has paused takes no place: it may stay so for days.
func TestRollouts_PausedTakesNoPlace(t *testing.T) {
	u := newUpgrade(t, 2, 1)
	if !u.mayRoll(t, 0) || u.mayRoll(t, 1) {
		t.Fatal("not one bot after the other")
	}
	writer, _ := u.reader.(client.Client)
	d := new(appsv1.Deployment)
	if err := writer.Get(t.Context(), client.ObjectKeyFromObject(u.bots[0]), d); err != nil {
		t.Fatal(err)
	}
	d.Spec.Paused = true
	if err := writer.Update(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	u.becomes(t, 0, wantOf(t, u.bots[0]).Deployment.Annotations[desired.AnnotationTemplate], 0)
	u.mayRoll(t, 0) // its write is seen
	if diff := cmp.Diff([]types.NamespacedName{client.ObjectKeyFromObject(u.bots[1])}, u.woken); diff != "" {
		t.Errorf("woken (-want +got):\n%s", diff)
	}
	if !u.mayRoll(t, 1) {
		t.Error("a paused rollout is waited for")
	}
}

// counted is a reader that gives what rolls and counts what it has given.
type counted struct {
	client.Reader

	given int
	err   error
}

func (c *counted) List(ctx context.Context, into client.ObjectList, o ...client.ListOption) error {
	if c.err != nil {
		return c.err
	}
	err := c.Reader.List(ctx, into, o...)
	if all, ok := into.(*appsv1.DeploymentList); ok {
		c.given += len(all.Items)
	}
	return err
}

// What an upgrade costs a bot does not grow with the number of bots: only those that roll are looked at.
func TestRollouts_LooksAtThoseThatRoll(t *testing.T) {
	const bots, atOnce = 60, 3
	u := newUpgrade(t, bots, atOnce)
	reader := &counted{Reader: u.reader}
	u.reader = reader
	for i := range atOnce {
		if waits, err := u.mustWait(t.Context(), u.bots[i], stateOf(u.bots[i]), wantOf(t, u.bots[i])); waits || err != nil {
			t.Fatalf("bot %d waits: %v, %v", i, waits, err)
		}
	}
	for i := atOnce; i < bots; i++ {
		if waits, err := u.mustWait(t.Context(), u.bots[i], stateOf(u.bots[i]), wantOf(t, u.bots[i])); !waits || err != nil {
			t.Fatalf("bot %d waits: %v, %v", i, waits, err)
		}
	}
	if reader.given > bots*atOnce {
		t.Errorf("%d Deployments were looked at for %d bots, of which %d roll", reader.given, bots, atOnce)
	}
	reader.err = errors.New("no cache")
	if _, err := u.mustWait(t.Context(), u.bots[atOnce], stateOf(u.bots[atOnce]), wantOf(t, u.bots[atOnce])); err == nil {
		t.Error("what cannot be counted is no error")
	}
}

func stateOf(bot *v1alpha1.WechatBot) *observe.State {
	return &observe.State{Children: observe.Children{Deployment: deployment(bot)}}
}

func wantOf(tb testing.TB, bot *v1alpha1.WechatBot) *desired.Children {
	tb.Helper()
	want, err := desired.Deployment(bot, desired.Operator{Image: "new"}, "hash")
	if err != nil {
		tb.Fatal(err)
	}
	return &desired.Children{Deployment: want}
}

// indexed is the part of a cache that rollouts ask: the Deployments that roll, by their index.
type indexed struct {
	client.Reader

	rolling []appsv1.Deployment
}

func (c *indexed) List(_ context.Context, into client.ObjectList, _ ...client.ListOption) error {
	into.(*appsv1.DeploymentList).Items = c.rolling //nolint:forcetypeassert // nothing else is listed
	return nil
}

func (c *indexed) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return nil
}

// What a reconcile in the midst of an upgrade costs with so many bots that wait: it should stay the same.
func BenchmarkRollouts(b *testing.B) {
	for _, bots := range []int{1_000, 10_000} {
		b.Run(fmt.Sprint(bots, " bots"), func(b *testing.B) {
			const atOnce = 10
			cache := new(indexed)
			r := &rollouts{
				reader: cache, atOnce: atOnce, now: time.Now, begun: map[types.NamespacedName]time.Time{},
				wake: func(context.Context, types.NamespacedName) {},
			}
			var all []*v1alpha1.WechatBot
			for i := range bots {
				bot := &v1alpha1.WechatBot{ObjectMeta: metav1.ObjectMeta{Namespace: "bots", Name: fmt.Sprintf("bot-%05d", i)}}
				all = append(all, bot)
				if i < atOnce {
					cache.rolling = append(cache.rolling, *deployment(bot))
				}
			}
			want, state := wantOf(b, all[0]), stateOf(all[0])
			for _, bot := range all {
				if _, err := r.mustWait(b.Context(), bot, state, want); err != nil {
					b.Fatal(err)
				}
			}
			for i := 0; b.Loop(); i++ {
				if waits, err := r.mustWait(b.Context(), all[atOnce+i%(bots-atOnce)], state, want); !waits || err != nil {
					b.Fatal(waits, err)
				}
			}
		})
	}
}
