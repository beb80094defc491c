package apply

import (
	"fmt"
	"runtime"
	"strconv"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func childOf(bot string, labels map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Labels: labels, OwnerReferences: []metav1.OwnerReference{{UID: types.UID(bot), Name: bot}},
	}}
}

// However many bots come and go, those that are there are known, and those that are gone are forgotten.
func TestCommon_ForgetsBotsThatAreGone(t *testing.T) {
	c := newCommon()
	const there, gone, rounds = 3000, 2000, 5
	var held []*corev1.ConfigMap
	for i := range there {
		child := childOf(fmt.Sprint("there ", i), nil)
		c.share(child)
		held = append(held, child)
	}
	for round := range rounds {
		for i := range gone {
			c.share(childOf(fmt.Sprint("gone ", round, " ", i), nil))
		}
		runtime.GC() // a weak pointer ends by it
	}
	if n, most := len(c.bots), 2*(there+gone); n > most {
		t.Errorf("%d of %d bots that were ever there are remembered, want %d at most", n, there+rounds*gone, most)
	}
	for i, child := range held {
		sibling := childOf(fmt.Sprint("there ", i), nil)
		c.share(sibling)
		if &sibling.OwnerReferences[0] != &child.OwnerReferences[0] {
			t.Fatalf("bot %d is not known any more", i)
		}
	}
}

// A bot whose labels change all the time does not fill the memory, and its latest ones are shared.
func TestCommon_BoundsLabelsOfABot(t *testing.T) {
	c := newCommon()
	labels := func(i int) map[string]string { return map[string]string{"i": strconv.Itoa(i)} }
	var latest *corev1.ConfigMap
	for i := range 10 * maxKinMaps {
		latest = childOf("winter", labels(i))
		c.share(latest)
	}
	if n := len(c.bots["winter"].maps); n != maxKinMaps {
		t.Errorf("%d labels are remembered, want %d", n, maxKinMaps)
	}
	sibling := childOf("winter", labels(10*maxKinMaps-1))
	c.share(sibling)
	sibling.Labels["shared"] = "yes"
	if latest.Labels["shared"] == "" {
		t.Error("the latest labels are not shared")
	}
}

func TestTexts_AreBounded(t *testing.T) {
	words := texts{}
	for i := range 3 * maxTexts {
		text := strconv.Itoa(i)
		words.share(&text)
		if text != strconv.Itoa(i) || len(words) > maxTexts {
			t.Fatalf("%d became %s, and %d are remembered", i, text, len(words))
		}
	}
}
