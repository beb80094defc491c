package observe

import (
	"reflect"
	"strconv"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Expectations remember what the operator has written and its caches may not show yet: that is read live. A cache
// catches up within milliseconds, but as it selects by a label it never shows an object whose label an admission policy
// has changed. So nobody waits for one. The nil Expectations expect nothing.
type Expectations struct {
	mu      sync.Mutex
	written map[objectKey]written
	seen    map[types.NamespacedName]bool
}

type objectKey struct {
	kind reflect.Type
	name types.NamespacedName
}

type written struct {
	bot     string // of the object's namespace
	version int64
}

// NewExpectations makes Expectations.
func NewExpectations() *Expectations {
	return &Expectations{written: map[objectKey]written{}, seen: map[types.NamespacedName]bool{}}
}

func keyOf(o client.Object) objectKey {
	return objectKey{reflect.TypeOf(o), client.ObjectKeyFromObject(o)}
}

// Wrote notes an object as the API server answered it.
func (e *Expectations) Wrote(o client.Object) {
	version, err := strconv.ParseInt(o.GetResourceVersion(), 10, 64)
	if e == nil || err != nil {
		return
	}
	w := written{version: version}
	if controller := metav1.GetControllerOf(o); controller != nil {
		w.bot = controller.Name
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.written[keyOf(o)] = w
}

// Deleted notes that an object was deleted.
func (e *Expectations) Deleted(o client.Object) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.written, keyOf(o))
}

// Forget drops what is known of a bot that is gone.
func (e *Expectations) Forget(bot types.NamespacedName) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.seen, bot)
	for key, w := range e.written {
		if key.name.Namespace == bot.Namespace && w.bot == bot.Name {
			delete(e.written, key)
		}
	}
}

// Seen notes that all of a bot's children were looked at, and tells whether they had been before.
func (e *Expectations) Seen(bot types.NamespacedName) (before bool) {
	if e == nil {
		return true
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	before = e.seen[bot]
	e.seen[bot] = true
	return before
}

// lags tells whether the cache shows an object older than it was written; nil is one that the cache does not have.
func (e *Expectations) lags(key objectKey, cached client.Object) bool {
	if e == nil {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	w, ok := e.written[key]
	if !ok {
		return false
	}
	if cached != nil {
		if version, err := strconv.ParseInt(cached.GetResourceVersion(), 10, 64); err != nil || version >= w.version {
			delete(e.written, key)
			return false
		}
	}
	return true
}
