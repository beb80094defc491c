package apply_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/apply"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
	"github.com/wechatbot/wechatbot-operator/controllers/observe"
)

// recorder counts applies and makes none.
type recorder struct {
	client.Client

	applies int
}

// Delete is what an Ingress of another class is made anew by.
func (r *recorder) Delete(context.Context, client.Object, ...client.DeleteOption) error { return nil }

func (r *recorder) Apply(context.Context, runtime.ApplyConfiguration, ...client.ApplyOption) error {
	r.applies++
	return nil
}

// live gives a bot of config/samples, and its children as an operator's cache holds them.
func live(t testing.TB, f fixture, name string) (*v1alpha1.WechatBot, observe.Children) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", "config", "samples", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	bot := new(v1alpha1.WechatBot)
	if err := yaml.UnmarshalStrict(content, bot); err != nil {
		t.Fatal(err)
	}
	bot.Name, bot.Namespace, bot.Spec.NetworkPolicy.Enabled = name+"-of-another", f.bot.Namespace, true
	if err := f.client.Create(t.Context(), bot); err != nil {
		t.Fatal(err)
	}
	var have observe.Children
	if err := f.writer.All(t.Context(), bot, wanted(t, bot), &have); err != nil {
		t.Fatal(err)
	}
	slim := apply.Slim()
	each(reflect.ValueOf(&have).Elem(), func(v reflect.Value) {
		child, ok := reflect.TypeAssert[client.Object](v)
		if !ok {
			t.Fatalf("%s is no object", v.Type())
		}
		// The answer of an apply has no managedFields.
		if err := f.client.Get(t.Context(), client.ObjectKeyFromObject(child), child); err != nil {
			t.Fatal(err)
		}
		if _, err := slim(child); err != nil {
			t.Fatal(err)
		}
	})
	return bot, have
}

func wanted(t testing.TB, bot *v1alpha1.WechatBot) *desired.Children {
	t.Helper()
	want, err := desired.All(bot, desired.Operator{Image: "example.com/wechatbot:1"}, desired.Surroundings{})
	if err != nil {
		t.Fatal(err)
	}
	return want
}

// each visits the children that there are.
func each(children reflect.Value, visit func(reflect.Value)) {
	for _, field := range children.Fields() {
		switch {
		case field.Kind() == reflect.Array:
			for i := range field.Len() {
				if !field.Index(i).IsNil() {
					visit(field.Index(i))
				}
			}
		case field.Kind() == reflect.Pointer && !field.IsNil():
			visit(field)
		}
	}
}

// Any field that is another than it was, or is not wanted any more, is written, also by a Writer that has learnt how
// such children look.
func TestEveryDifferenceIsSeen(t *testing.T) {
	f := setup(t)
	for _, name := range []string{"full", "managed-redis"} {
		t.Run(name, func(t *testing.T) {
			bot, have := live(t, f, name)
			none := new(recorder)
			writer := &apply.Writer{Client: none, Now: time.Now}
			for range 2 {
				if err := writer.All(t.Context(), bot, wanted(t, bot), new(have)); err != nil || none.applies > 0 {
					t.Fatalf("children that are as they should be are written %d times (%v)", none.applies, err)
				}
			}
			seen := 0
			for kind := range reflect.TypeFor[desired.Children]().Fields() {
				if !isCompared(kind.Name) {
					continue
				}
				want, has := wanted(t, bot), have
				child := alone(reflect.ValueOf(want).Elem(), kind.Name)
				alone(reflect.ValueOf(&has).Elem(), kind.Name)
				if child.IsNil() {
					continue
				}
				for what, content := range mutations(t, child.Interface()) {
					mutated := reflect.New(child.Type().Elem())
					if json.Unmarshal(content, mutated.Interface()) != nil {
						continue // a port that is no number
					}
					child.Set(mutated)
					seen++
					none.applies = 0
					if err := writer.All(t.Context(), bot, want, new(has)); err != nil || none.applies != 1 {
						t.Errorf("%s: %s: %d applies (%v)", kind.Name, what, none.applies, err)
					}
				}
			}
			if seen < 200 {
				t.Errorf("only %d differences", seen)
			}
		})
	}
}

// isCompared tells whether a field of what is desired is an object that is compared with a live one: the Secret of a
// managed Redis is only made.
func isCompared(name string) bool {
	_, isLive := reflect.TypeFor[observe.Children]().FieldByName(name)
	return isLive && name != "Password"
}

// alone leaves of the children but those in one field, and gives the first of them.
func alone(children reflect.Value, name string) reflect.Value {
	for field, value := range children.Fields() {
		if field.Name != name {
			value.SetZero()
		}
	}
	only := children.FieldByName(name)
	if only.Kind() != reflect.Array {
		return only
	}
	for i := 1; i < only.Len(); i++ {
		only.Index(i).SetZero()
	}
	return only.Index(0)
}

// mutations are what a configuration can be but for one leaf.
func mutations(t *testing.T, configuration any) map[string][]byte {
	t.Helper()
	content, err := json.Marshal(configuration)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	var tree any
	decode := func() {
		if err := json.Unmarshal(content, &tree); err != nil {
			t.Fatal(err)
		}
	}
	decode()
	for _, path := range leaves(tree, nil) {
		switch path[len(path)-1] {
		case "kind", "apiVersion":
			if len(path) == 1 {
				continue
			}
		case "name", "namespace":
			if len(path) == 2 && path[0] == "metadata" {
				continue // another object
			}
		}
		for what, change := range map[string]func(any) (any, bool){
			"changed": func(v any) (any, bool) {
				switch v := v.(type) {
				case string:
					return "7" + v, true
				case float64:
					return v + 1, true
				case bool:
					return !v, true
				}
				return nil, false
			},
			"gone": func(any) (any, bool) { return nil, false },
		} {
			tree = nil
			decode()
			tree = replaced(tree, path, change)
			mutated, err := json.Marshal(tree)
			if err != nil {
				t.Fatal(err)
			}
			all[strings.Join(path, ".")+" "+what] = mutated
		}
	}
	return all
}

func leaves(v any, path []string) (all [][]string) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			all = append(all, leaves(value, append(slices.Clone(path), key))...)
		}
	case []any:
		for i, value := range v {
			all = append(all, leaves(value, append(slices.Clone(path), strconv.Itoa(i)))...)
		}
	default:
		return [][]string{path}
	}
	return all
}

// replaced gives v with the leaf at path changed, or without it.
func replaced(v any, path []string, change func(any) (any, bool)) any {
	last := len(path) == 1
	switch v := v.(type) {
	case map[string]any:
		if !last {
			v[path[0]] = replaced(v[path[0]], path[1:], change)
		} else if to, keep := change(v[path[0]]); keep {
			v[path[0]] = to
		} else {
			delete(v, path[0])
		}
		return v
	case []any:
		i, _ := strconv.Atoi(path[0])
		if !last {
			v[i] = replaced(v[i], path[1:], change)
		} else if to, keep := change(v[i]); keep {
			v[i] = to
		} else {
			return slices.Delete(v, i, i+1)
		}
		return v
	}
	return v
}

// What was learnt of one bot's children serves for others': extracting what is owned of a Deployment alone allocates
// as much as this allows for all of a bot's children.
func TestChildrenOfAKnownShapeAreComparedCheaply(t *testing.T) {
	f := setup(t)
	writer := &apply.Writer{Client: new(recorder), Now: time.Now}
	first, have := live(t, f, "minimal")
	if err := writer.All(t.Context(), first, wanted(t, first), &have); err != nil {
		t.Fatal(err)
	}
	other := setup(t)
	bot, have := live(t, other, "minimal")
	want := wanted(t, bot)
	if got := testing.AllocsPerRun(10, func() {
		if err := writer.All(t.Context(), bot, want, &have); err != nil {
			t.Fatal(err)
		}
	}); got > 500 {
		t.Errorf("%v allocations for children that are as they should be", got)
	}
}

// A pass over the children of a bot that is as it should be.
func BenchmarkNothingToWrite(b *testing.B) {
	f := setup(b)
	bot, have := live(b, f, "minimal")
	writer := &apply.Writer{Client: new(recorder), Now: time.Now}
	want := wanted(b, bot)
	b.ReportAllocs()
	for b.Loop() {
		if err := writer.All(b.Context(), bot, want, &have); err != nil {
			b.Fatal(err)
		}
	}
}
