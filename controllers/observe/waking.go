package observe

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// waking has a controller look at bots that somebody else names, also before it runs. Its zero value is ready.
type waking struct {
	lock  sync.Mutex
	queue workqueue.TypedRateLimitingInterface[reconcile.Request] // nil until the controller runs
	early map[types.NamespacedName]time.Duration                  // to be queued then
}

// Source is that of the controller.
func (w *waking) Source() source.Source {
	return source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		w.lock.Lock()
		defer w.lock.Unlock()
		w.queue = queue
		for bot, wait := range w.early {
			queue.AddAfter(reconcile.Request{NamespacedName: bot}, wait)
		}
		w.early = nil
		return nil
	})
}

// enqueue has bots looked at after a while.
func (w *waking) enqueue(wait time.Duration, bots ...types.NamespacedName) {
	w.lock.Lock()
	defer w.lock.Unlock()
	for _, bot := range bots {
		if w.queue != nil {
			w.queue.AddAfter(reconcile.Request{NamespacedName: bot}, wait)
			continue
		}
		if w.early == nil {
			w.early = map[types.NamespacedName]time.Duration{}
		}
		w.early[bot] = wait
	}
}
