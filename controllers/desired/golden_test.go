package desired_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
)

var update = flag.Bool("update", false, "write the golden files anew")

var operator = desired.Operator{Image: "registry.example.com/wechatbot-operator:v0.1.0"}

// sample reads an object of config/samples as the API server would hold it.
func sample(t *testing.T, name string) *v1alpha1.WechatBot {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", "config", "samples", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	bot := new(v1alpha1.WechatBot)
	if err := yaml.UnmarshalStrict(content, bot); err != nil {
		t.Fatal(err)
	}
	bot.Namespace, bot.UID, bot.Generation = "bots", "11111111-2222-3333-4444-555555555555", 1
	bot.Spec.Dify.Timeout = metav1.Duration{Duration: 5 * time.Minute}
	return bot
}

func manifest(t *testing.T, c *desired.Children) string {
	t.Helper()
	var all bytes.Buffer
	add := func(child reflect.Value) {
		if child.IsNil() {
			return
		}
		content, err := yaml.Marshal(child.Interface())
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString("---\n")
		all.Write(content)
	}
	for _, field := range reflect.ValueOf(c).Elem().Fields() {
		switch field.Kind() {
		case reflect.Pointer:
			add(field)
		case reflect.Array:
			for i := range field.Len() {
				add(field.Index(i))
			}
		default: // no objects: a size, and what is to be left alone
		}
	}
	return all.String()
}

func TestTheChildrenOfEverySample(t *testing.T) {
	for _, name := range []string{"minimal", "full", "gateway", "secure-mode", "menu", "handover", "followers", "external-redis", "managed-redis", "autoscaled"} {
		t.Run(name, func(t *testing.T) {
			bot := sample(t, name)
			children, err := desired.All(bot, operator, desired.Surroundings{GatewayAPI: true})
			if err != nil {
				t.Fatal(err)
			}
			got := manifest(t, children)
			path := filepath.Join("testdata", name+".yaml")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("differs from %s; if that is meant: go test ./controllers/desired -update (-want +got):\n%s", path, diff)
			}
			again, err := desired.All(bot.DeepCopy(), operator, desired.Surroundings{GatewayAPI: true})
			if err != nil || manifest(t, again) != got {
				t.Errorf("the same bot gives other children: %v", err)
			}
		})
	}
}

func TestWhatIsExposed(t *testing.T) {
	for name, c := range map[string]struct {
		change         func(*v1alpha1.WechatBot)
		around         desired.Surroundings
		ingress, route bool
	}{
		"an Ingress by default":             {func(*v1alpha1.WechatBot) {}, desired.Surroundings{}, true, false},
		"one's own way in":                  {func(b *v1alpha1.WechatBot) { b.Spec.Ingress = &v1alpha1.Ingress{Enabled: new(false)} }, desired.Surroundings{}, false, false},
		"nothing while another has it":      {func(*v1alpha1.WechatBot) {}, desired.Surroundings{AddressConflict: true}, false, false},
		"an HTTPRoute":                      {gateway, desired.Surroundings{GatewayAPI: true}, false, true},
		"no HTTPRoute without Gateway API":  {gateway, desired.Surroundings{}, false, false},
		"no HTTPRoute while another has it": {gateway, desired.Surroundings{GatewayAPI: true, AddressConflict: true}, false, false},
	} {
		bot := sample(t, "minimal")
		c.change(bot)
		children, err := desired.All(bot, operator, c.around)
		if err != nil {
			t.Fatal(err)
		}
		if (children.Ingress != nil) != c.ingress || (children.HTTPRoute != nil) != c.route {
			t.Errorf("%s: Ingress %v, HTTPRoute %v", name, children.Ingress, children.HTTPRoute)
		}
	}
}

func gateway(b *v1alpha1.WechatBot) {
	b.Spec.Gateway = &v1alpha1.Gateway{ParentRefs: []v1alpha1.ParentRef{{Name: "public", Kind: v1alpha1.ParentListenerSet, Port: 443}}}
}

func TestTheGracePeriodOutlastsATurn(t *testing.T) {
	for _, timeout := range []time.Duration{time.Second, 90*time.Second + 500*time.Millisecond, time.Hour} {
		bot := sample(t, "minimal")
		bot.Spec.Dify.Timeout.Duration = timeout
		d, err := desired.Deployment(bot, operator, "")
		if err != nil {
			t.Fatal(err)
		}
		if got := time.Duration(*d.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second; got <= timeout+40*time.Second {
			t.Errorf("a turn of %s is given %s", timeout, got)
		}
	}
}

// What the bot refers to is mounted, and nothing else.
func TestSecretRefs(t *testing.T) {
	var files []string
	for _, ref := range desired.SecretRefs(sample(t, "external-redis")) {
		files = append(files, ref.File)
	}
	want := []string{desired.FileToken, desired.FileDifyAPIKey, desired.FileRedisUsername, desired.FileRedisPassword, desired.FileRedisSentinelUsername, desired.FileRedisSentinelPassword, desired.FileRedisCA}
	if !slices.Equal(files, want) {
		t.Errorf("got %v", files)
	}
}
