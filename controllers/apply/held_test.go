package apply_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"runtime"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/apply"
	"github.com/wechatbot/wechatbot-operator/controllers/observe"
)

// encoded is an object of the bot named original, as the API server sends it.
type encoded struct {
	kind    reflect.Type
	content []byte
}

const original = "bot-00000"

// encodedBot makes a bot with its children, and gives them encoded: children as protobuf, the bot as JSON.
func encodedBot(b *testing.B) (uid string, children []encoded, bot []byte) {
	b.Helper()
	f := setup(b)
	made := &v1alpha1.WechatBot{ObjectMeta: metav1.ObjectMeta{Name: original, Namespace: f.bot.Namespace}, Spec: f.bot.Spec}
	if err := f.client.Create(b.Context(), made); err != nil {
		b.Fatal(err)
	}
	var have observe.Children
	if err := f.writer.All(b.Context(), made, wanted(b, made), &have); err != nil {
		b.Fatal(err)
	}
	each(reflect.ValueOf(&have).Elem(), func(v reflect.Value) {
		child, _ := reflect.TypeAssert[protobuf](v)
		if err := f.client.Get(b.Context(), client.ObjectKeyFromObject(child), child); err != nil {
			b.Fatal(err)
		}
		content, err := child.Marshal()
		if err != nil {
			b.Fatal(err)
		}
		children = append(children, encoded{v.Type().Elem(), content})
	})
	for _, condition := range []string{
		v1alpha1.ConditionReady, v1alpha1.ConditionSecretsResolved, v1alpha1.ConditionDifyReachable, v1alpha1.ConditionExposed,
	} {
		made.Status.Conditions = append(made.Status.Conditions, metav1.Condition{
			Type: condition, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonServing, Message: "as it should be: " + condition,
			LastTransitionTime: metav1.Now(),
		})
	}
	bot, err := json.Marshal(made)
	if err != nil {
		b.Fatal(err)
	}
	return string(made.UID), children, bot
}

type protobuf interface {
	client.Object
	Marshal() ([]byte, error)
	Unmarshal(encoded []byte) error
}

// BenchmarkCachesOfABot reports how many bytes informers' caches hold of a bot with its children, with their keys and the
// index of namespaces and of bots, as there are many bots.
func BenchmarkCachesOfABot(b *testing.B) {
	const bots = 2000
	uid, children, bot := encodedBot(b)
	for b.Loop() {
		before := heap()
		caches := map[reflect.Type]cache.Indexer{}
		slim, slimBot := apply.Slim(), apply.SlimBot()
		for _, child := range children { // an informer lists all objects of a kind
			for i := range bots {
				o, _ := reflect.TypeAssert[protobuf](reflect.New(child.kind))
				if err := o.Unmarshal(ofBot(i, child.content, uid)); err != nil {
					b.Fatal(err)
				}
				keep(b, caches, slim, o)
			}
		}
		for i := range bots {
			o := new(v1alpha1.WechatBot)
			if err := json.Unmarshal(ofBot(i, bot, uid), o); err != nil {
				b.Fatal(err)
			}
			keep(b, caches, slimBot, o)
		}
		b.ReportMetric(float64(heap()-before)/bots, "B-held/bot")
		runtime.KeepAlive(caches)
		runtime.KeepAlive(slim)
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what the first one has finalized
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// ofBot makes another bot's object of an encoded one. Names and UIDs are of the same length, as protobuf tells lengths.
func ofBot(i int, content []byte, uid string) []byte {
	content = bytes.ReplaceAll(content, []byte(uid), fmt.Appendf(nil, "%08d%s", i, uid[8:]))
	return bytes.ReplaceAll(content, []byte(original), fmt.Appendf(nil, "bot-%05d", i+1))
}

func keep(b *testing.B, caches map[reflect.Type]cache.Indexer, transform func(any) (any, error), o client.Object) {
	b.Helper()
	kept, err := transform(o)
	if err != nil {
		b.Fatal(err)
	}
	kind := reflect.TypeOf(o)
	if caches[kind] == nil {
		indexers := cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}
		if kind == reflect.TypeFor[*corev1.ConfigMap]() {
			indexers[observe.IndexOwned] = func(o any) ([]string, error) { // controller-runtime's is twice as large
				child, _ := o.(client.Object)
				return observe.Owned(child), nil
			}
		}
		caches[kind] = cache.NewIndexer(cache.MetaNamespaceKeyFunc, indexers)
	}
	if err := caches[kind].Add(kept); err != nil {
		b.Fatal(err)
	}
}
