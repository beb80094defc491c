package apply_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	networkingv1ac "k8s.io/client-go/applyconfigurations/networking/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/apply"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
	"github.com/wechatbot/wechatbot-operator/controllers/observe"
	"github.com/wechatbot/wechatbot-operator/test/envtest"
)

var controlPlane *envtest.ControlPlane

func TestMain(m *testing.M) {
	os.Exit(envtest.Main(func(c *envtest.ControlPlane) (int, error) {
		controlPlane = c
		return m.Run(), nil
	}))
}

// fixture is a bot on the API server, and a Writer.
type fixture struct {
	client client.Client
	writer *apply.Writer
	bot    *v1alpha1.WechatBot
}

func setup(t testing.TB) fixture {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme, gatewayv1.Install} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c, err := client.New(controlPlane.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	bot := &v1alpha1.WechatBot{
		ObjectMeta: metav1.ObjectMeta{Name: "winter", Namespace: controlPlane.Namespace(t, "apply")},
		Spec: v1alpha1.WechatBotSpec{
			Domain: "bot.example.com", TokenSecretRef: v1alpha1.SecretKeyRef{Name: "winter", Key: "token"},
			Dify: v1alpha1.Dify{APIKeySecretRef: v1alpha1.SecretKeyRef{Name: "winter", Key: "dify-key"}},
		},
	}
	if err := c.Create(t.Context(), bot); err != nil {
		t.Fatal(err)
	}
	return fixture{c, &apply.Writer{Client: c, Live: c, Secrets: c, Now: time.Now}, bot}
}

func (f fixture) children(t *testing.T) *desired.Children {
	t.Helper()
	want, err := desired.All(f.bot, desired.Operator{Image: "example.com/wechatbot:1"}, desired.Surroundings{})
	if err != nil {
		t.Fatal(err)
	}
	return want
}

func TestAChildIsCreatedOnceThenLeftAlone(t *testing.T) {
	f := setup(t)
	var have observe.Children
	if err := f.writer.All(t.Context(), f.bot, f.children(t), &have); err != nil {
		t.Fatalf("first pass: %v", err)
	}
	service, deployment := have.Service.ResourceVersion, have.Deployment.ResourceVersion
	f.writer.Writes = apply.NewWrites()
	if err := f.writer.All(t.Context(), f.bot, f.children(t), &have); err != nil {
		t.Fatalf("second pass: %v", err)
	}
	if have.Service.ResourceVersion != service || have.Deployment.ResourceVersion != deployment {
		t.Error("the second pass wrote")
	}
}

// Release 0.1.0 replaced the pod of a bot with the ConfigMap store by Recreate. An upgrade changes that, and going back
// changes it back.
func TestTheStrategyOfADeploymentCanChange(t *testing.T) {
	f := setup(t)
	var have observe.Children
	recreate, rolling := appsv1.RecreateDeploymentStrategyType, appsv1.RollingUpdateDeploymentStrategyType
	for _, strategy := range []appsv1.DeploymentStrategyType{recreate, rolling, recreate} {
		want := f.children(t)
		if strategy == recreate {
			want.Deployment.Spec.Strategy = appsv1ac.DeploymentStrategy().WithType(recreate)
		}
		if err := f.writer.All(t.Context(), f.bot, want, &have); err != nil {
			t.Fatal(err)
		}
		live := new(appsv1.Deployment)
		if err := f.client.Get(t.Context(), client.ObjectKeyFromObject(have.Deployment), live); err != nil {
			t.Fatal(err)
		}
		if got := live.Spec.Strategy; got.Type != strategy || (got.RollingUpdate != nil) != (strategy == rolling) {
			t.Errorf("the strategy is %+v, want %s", got, strategy)
		}
	}
}

// Who refuses a change, however often, has not changed it back.
func TestRefusedWrites_AreNoFight(t *testing.T) {
	f := setup(t)
	var have observe.Children
	if err := f.writer.All(t.Context(), f.bot, f.children(t), &have); err != nil {
		t.Fatal(err)
	}
	inner, err := client.NewWithWatch(controlPlane.Config, client.Options{Scheme: f.client.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	refuses := true
	f.writer.Client = interceptor.NewClient(inner, interceptor.Funcs{
		Apply: func(ctx context.Context, c client.WithWatch, o runtime.ApplyConfiguration, options ...client.ApplyOption) error {
			if _, ok := o.(*networkingv1ac.IngressApplyConfiguration); ok && refuses {
				return apierrors.NewForbidden(schema.GroupResource{Resource: "ingresses"}, "winter", errors.New("the host is taken"))
			}
			return c.Apply(ctx, o, options...)
		},
	})
	f.bot.Spec.Domain = "moved.example.com"
	for try := range 8 {
		err := f.writer.All(t.Context(), f.bot, f.children(t), &have)
		failed, ok := errors.AsType[*apply.FailedError](err)
		if _, fight := errors.AsType[*apply.OverriddenError](err); fight || !ok || failed.Kind != "Ingress" {
			t.Fatalf("try %d gives %v", try, err)
		}
	}
	refuses = false
	if err := f.writer.All(t.Context(), f.bot, f.children(t), &have); err != nil {
		t.Errorf("when nobody refuses it any more: %v", err)
	}
	if got := have.Ingress.Spec.Rules[0].Host; got != f.bot.Spec.Domain {
		t.Errorf("the Ingress is for %s", got)
	}
}

func TestCacheLacksObject_TakenIfOurs(t *testing.T) {
	f := setup(t)
	var have, lagging observe.Children
	if err := f.writer.All(t.Context(), f.bot, f.children(t), &have); err != nil {
		t.Fatal(err)
	}
	if err := f.writer.All(t.Context(), f.bot, f.children(t), &lagging); err != nil {
		t.Fatalf("with a cache that lags behind: %v", err)
	}
	if lagging.Service.ResourceVersion != have.Service.ResourceVersion {
		t.Error("a Service that is as it should be was written")
	}

	other := setup(t)
	foreign := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{
		Name: "winter", Namespace: other.bot.Namespace, Labels: map[string]string{naming.LabelPartOf: "else"},
	}}
	if err := other.client.Create(t.Context(), foreign); err != nil {
		t.Fatal(err)
	}
	var none observe.Children
	err := other.writer.All(t.Context(), other.bot, other.children(t), &none)
	if notOurs, ok := errors.AsType[*apply.NotOursError](err); !ok || notOurs.Kind != "ServiceAccount" || notOurs.Name != "winter" {
		t.Fatalf("got %v, want a NotOursError of the ServiceAccount", err)
	}
	after := &corev1.ServiceAccount{}
	if err := other.client.Get(t.Context(), client.ObjectKeyFromObject(foreign), after); err != nil {
		t.Fatal(err)
	}
	if after.ResourceVersion != foreign.ResourceVersion {
		t.Errorf("the foreign object was changed: %v", after)
	}
	if none.Deployment == nil {
		t.Error("the other children were not made")
	}
}
