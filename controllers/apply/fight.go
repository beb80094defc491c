package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// fights remembers which objects had to be corrected again and again while what is wanted stayed the same: somebody
// else wants something else. To write as fast as that one does would give an autoscaler and the operator pods without
// end.
type fights struct {
	mu    sync.Mutex
	known map[types.UID]*fight
}

type fight struct {
	want        digest
	corrections int
	last, until time.Time
	err         *OverriddenError // nil until it is a fight
}

const (
	// patience is how many corrections are made at once: a person's edit needs one, a rollout of another tool a few.
	patience = 3
	// firstDelay is the time until the correction after that. It doubles with each, up to maxDelay.
	firstDelay = 10 * time.Second
	maxDelay   = 5 * time.Minute
	// peace is how long nothing must have been corrected for a fight to be over.
	peace = 2 * maxDelay
	// maxFights bounds the memory; it is started anew when it is full of objects that are long gone.
	maxFights = 16 << 10
)

// correction tells whether an object may be corrected now, and whether it is fought over.
func (f *fights) correction(object types.UID, want digest, now time.Time) (may, isFight bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one, ok := f.known[object]
	if !ok || one.want != want || now.Sub(one.last) > peace {
		if f.known == nil || len(f.known) >= maxFights {
			f.known = map[types.UID]*fight{}
		}
		f.known[object] = &fight{want: want, corrections: 1, last: now}
		return true, false
	}
	if one.corrections < patience {
		one.corrections++
		one.last = now
		return true, false
	}
	if now.Before(one.until) {
		return false, true
	}
	one.until = now.Add(min(firstDelay<<min(one.corrections-patience, 10), maxDelay))
	one.corrections++
	one.last = now
	return true, true
}

// refused takes a correction back that the API server did not take: nobody has changed anything back.
func (f *fights) refused(object types.UID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one, ok := f.known[object]
	if !ok {
		return
	}
	one.corrections--
	if one.corrections == 0 {
		delete(f.known, object)
	}
}

// blame notes who fights.
func (f *fights) blame(object types.UID, err *OverriddenError) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if one, ok := f.known[object]; ok && len(err.Fields) > 0 {
		one.err = err
	}
}

// standing is the fight over an object, nil if there is none. It goes on for a while after each correction, so that the
// bot is not called well for the moment that a correction lasts.
func (f *fights) standing(object types.UID, now time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	one, ok := f.known[object]
	if !ok || one.err == nil {
		return nil
	}
	if now.Sub(one.last) > max(2*one.until.Sub(one.last), 2*firstDelay) {
		delete(f.known, object)
		return nil
	}
	return one.err
}

// blame says what of an object differs and who owns that now. The caches do not have the fields of others.
func (w *Writer) blame(ctx context.Context, live client.Object, kind string, want, owned any) (*OverriddenError, error) {
	whole, _ := live.DeepCopyObject().(client.Object)
	if err := w.Live.Get(ctx, client.ObjectKeyFromObject(live), whole); err != nil {
		return nil, &FailedError{kind, live.GetName(), fmt.Errorf("reading who changes it: %w", err)}
	}
	changed := differences(asMap(want), asMap(owned), nil)
	return &OverriddenError{Kind: kind, Name: live.GetName(), Fields: paths(changed), Managers: managersOf(whole, changed)}, nil
}

// overriddenAtAdmission says what of an object is not as it was just sent, although nobody wrote it since; nil if the API
// server only added to it, or if it cannot be told.
func overriddenAtAdmission(live client.Object, kind string, sent, owned any) error {
	if _, _, ok := ownedFields(live); !ok {
		return nil
	}
	changed := differences(asMap(sent), asMap(owned), nil)
	if len(changed) == 0 {
		return nil
	}
	return &OverriddenError{Kind: kind, Name: live.GetName(), Fields: paths(changed)}
}

func asMap(configuration any) map[string]any {
	encoded, err := json.Marshal(configuration)
	if err != nil {
		return nil
	}
	var decoded map[string]any
	if json.Unmarshal(encoded, &decoded) != nil {
		return nil
	}
	return decoded
}

// differences are the paths of what want says and have does not, without what have says beyond it. A list is one value
// unless both have the same length.
func differences(want, have any, at []string) (changed [][]string) {
	switch want := want.(type) {
	case map[string]any:
		have, ok := have.(map[string]any)
		if !ok {
			return [][]string{at}
		}
		for _, key := range slices.Sorted(maps.Keys(want)) {
			changed = append(changed, differences(want[key], have[key], append(slices.Clone(at), key))...)
		}
		return changed
	case []any:
		have, ok := have.([]any)
		if !ok || len(have) != len(want) {
			return [][]string{at}
		}
		for i := range want {
			if len(differences(want[i], have[i], at)) > 0 {
				return [][]string{at}
			}
		}
		return nil
	}
	if reflect.DeepEqual(want, have) {
		return nil
	}
	return [][]string{at}
}

// paths writes paths as kubectl does: spec.replicas, metadata.labels[app.kubernetes.io/name].
func paths(all [][]string) []string {
	written := make([]string, 0, len(all))
	for _, path := range all {
		var b strings.Builder
		for i, part := range path {
			switch {
			case strings.ContainsAny(part, "./"):
				b.WriteString("[" + part + "]")
			case i > 0:
				b.WriteString("." + part)
			default:
				b.WriteString(part)
			}
		}
		written = append(written, b.String())
	}
	return written
}

// managersOf are those, beside the operator, that managedFields name for one of the paths.
func managersOf(o client.Object, changed [][]string) []string {
	var names []string
	for _, entry := range o.GetManagedFields() {
		if entry.Manager == naming.FieldOwner && entry.Subresource == "" {
			continue
		}
		if entry.FieldsV1 == nil || !slices.ContainsFunc(changed, func(path []string) bool { return owns(&entry, path) }) {
			continue
		}
		name := entry.Manager
		if entry.Subresource != "" {
			name += " (" + entry.Subresource + ")"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// owns tells whether an entry of managedFields has a path, or something below it.
func owns(entry *metav1.ManagedFieldsEntry, path []string) bool {
	var fields map[string]any
	if json.Unmarshal([]byte(entry.FieldsV1.GetRawString()), &fields) != nil {
		return false
	}
	for _, part := range path {
		below, ok := fields["f:"+part].(map[string]any)
		if !ok {
			return false
		}
		fields = below
	}
	return true
}
