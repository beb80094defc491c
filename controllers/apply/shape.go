package apply

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// shapes remembers what extracting has shown: that of a live object with such managedFields the operator owns just the
// fields that such a configuration sets. Bots differ much more in values than in fields. Once their shape is known,
// only values are left to compare, which is what keeps a restart with many bots short.
type shapes struct {
	mu    sync.RWMutex
	known map[digest]bool
}

// maxShapes bounds the memory; it is started anew when it is full. A cluster has a few dozen.
const maxShapes = 4 << 10

func (s *shapes) has(shape digest) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.known[shape]
}

func (s *shapes) add(shape digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil || len(s.known) >= maxShapes {
		s.known = map[digest]bool{}
	}
	s.known[shape] = true
}

// shapeOf sums up which fields the configuration want sets, and which the operator owns of the live object. It is ok
// only if the object has every value that is wanted, where that can be told without the schema: not of a list that
// others have added to, say.
func shapeOf(want any, live client.Object) (shape digest, ok bool) {
	version, fields, ok := ownedFields(live)
	if !ok {
		return digest{}, false
	}
	w, _ := walks.Get().(*walk) // nothing else is in there
	defer walks.Put(w)
	w.shape = w.shape[:0]
	w.text(reflect.TypeOf(live).String())
	w.text(version)
	w.shape = appendWithoutOwner(w.shape, fields, live.GetOwnerReferences()[0].UID)
	w.number(0) // ends the JSON, in which there is none
	if !w.holds(reflect.ValueOf(want), reflect.ValueOf(live)) {
		return digest{}, false
	}
	return sha256.Sum256(w.shape), true
}

// ownedFields are the API version and the managedFields that the operator's applies left on an object that has an owner. They
// are the object's own.
func ownedFields(live client.Object) (version string, fields []byte, ok bool) {
	for _, entry := range live.GetManagedFields() {
		if entry.Manager != naming.FieldOwner || entry.Operation != metav1.ManagedFieldsOperationApply || entry.Subresource != "" {
			continue
		}
		if ok || entry.FieldsV1 == nil || len(live.GetOwnerReferences()) == 0 {
			return "", nil, false // applied by way of two API versions
		}
		version, fields, ok = entry.APIVersion, entry.FieldsV1.GetRawBytes(), true
	}
	return version, fields, ok
}

// walk goes through a configuration and the object at once. It notes which fields are set, not their values.
type walk struct{ shape []byte }

// walks are those that are over: a look at a bot takes one for each child.
var walks = sync.Pool{New: func() any { return new(walk) }}

func (w *walk) number(n int) { w.shape = binary.AppendVarint(w.shape, int64(n)) }

func (w *walk) text(s string) {
	w.number(len(s))
	w.shape = append(w.shape, s...)
}

// holds tells whether have is want, but for fields that want does not set.
func (w *walk) holds(want, have reflect.Value) bool {
	for want.Kind() == reflect.Pointer {
		want = want.Elem()
	}
	for have.Kind() == reflect.Pointer {
		have = have.Elem()
	}
	if !have.IsValid() || want.Kind() != have.Kind() {
		return false
	}
	switch want.Kind() {
	case reflect.Struct:
		if want.Type() == have.Type() { // a Quantity, say
			return equality.Semantic.DeepEqual(want.Interface(), have.Interface())
		}
		return w.holdsFields(want, have)
	case reflect.Slice:
		return w.holdsItems(want, have)
	case reflect.Map:
		return w.holdsEntries(want, have)
	case reflect.String:
		return want.String() == have.String()
	case reflect.Bool:
		return want.Bool() == have.Bool()
	case reflect.Int32, reflect.Int64:
		return want.Int() == have.Int()
	default:
		return false
	}
}

func (w *walk) holdsFields(want, have reflect.Value) bool {
	for i, twin := range twinsOf(want.Type(), have.Type()) {
		value := want.Field(i)
		if twin.skipped || !isSet(value) {
			continue
		}
		w.number(1 + i)
		if twin.index == nil || !w.holds(value, have.FieldByIndex(twin.index)) {
			return false
		}
	}
	w.number(0)
	return true
}

// twin is where an API type has a field of an apply configuration; nil if nowhere.
type twin struct {
	index   []int
	skipped bool
}

// twins are known of pairs of types, of which there are a few dozen: to find fields by their names takes longer than to compare
// them.
var twins = struct {
	sync.RWMutex

	known map[[2]reflect.Type][]twin
}{known: map[[2]reflect.Type][]twin{}}

// twinsOf relies on that the fields of apply configurations are called as those of the API's types.
func twinsOf(want, have reflect.Type) []twin {
	twins.RLock()
	known, ok := twins.known[[2]reflect.Type{want, have}]
	twins.RUnlock()
	if !ok {
		known = findTwins(want, have)
		twins.Lock()
		defer twins.Unlock()
		twins.known[[2]reflect.Type{want, have}] = known
	}
	return known
}

func findTwins(want, have reflect.Type) (found []twin) {
	for field := range want.Fields() {
		name := field.Name
		if field.Anonymous {
			name = strings.TrimSuffix(name, "ApplyConfiguration")
		}
		other, _ := have.FieldByName(name)
		found = append(found, twin{other.Index, field.Anonymous && name == "TypeMeta"}) // an object that was read has no TypeMeta
	}
	return found
}

func isSet(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer:
		return !v.IsNil()
	case reflect.Slice, reflect.Map:
		return v.Len() > 0
	default:
		return true
	}
}

func (w *walk) holdsItems(want, have reflect.Value) bool {
	if want.Len() != have.Len() {
		return false
	}
	w.number(want.Len())
	for i := range want.Len() {
		if !w.holds(want.Index(i), have.Index(i)) {
			return false
		}
	}
	return true
}

func (w *walk) holdsEntries(want, have reflect.Value) bool {
	if texts, ok := reflect.TypeAssert[map[string]string](want); ok { // most are, and reflection copies every key and value
		return w.holdsTexts(texts, have)
	}
	keys := want.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	w.number(len(keys))
	for _, key := range keys {
		w.text(key.String())
		other := have.MapIndex(key)
		if !other.IsValid() || !w.holds(want.MapIndex(key), other) {
			return false
		}
	}
	return true
}

func (w *walk) holdsTexts(want map[string]string, have reflect.Value) bool {
	others, ok := reflect.TypeAssert[map[string]string](have)
	if !ok {
		return false
	}
	w.number(len(want))
	keys := slices.AppendSeq(make([]string, 0, len(want)), maps.Keys(want))
	slices.Sort(keys)
	for _, key := range keys {
		w.text(key)
		if other, ok := others[key]; !ok || other != want[key] {
			return false
		}
	}
	return true
}
