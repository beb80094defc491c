package apply

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"

	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	appsv1 "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1 "k8s.io/client-go/applyconfigurations/core/v1"
	networkingv1 "k8s.io/client-go/applyconfigurations/networking/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
	"github.com/wechatbot/wechatbot-operator/controllers/observe"
)

// redis makes a managed Redis.
func (w *Writer) redis(ctx context.Context, bot *v1alpha1.WechatBot, want *desired.Children, have *observe.Children) error {
	err := errors.Join(
		w.password(ctx, bot, want.Password, have),
		ensure(ctx, w, bot, want.RedisConfig, &have.RedisConfig, corev1.ExtractConfigMap),
		ensure(ctx, w, bot, want.RedisService, &have.RedisService, corev1.ExtractService),
		ensure(ctx, w, bot, want.RedisPolicy, &have.RedisPolicy, networkingv1.ExtractNetworkPolicy),
		w.grow(ctx, want.RedisVolume, have),
	)
	switch {
	case want.RetainPods && have.Redis != nil:
		return err
	case want.Redis != nil && have.Redis == nil && have.Password == nil:
		return err // no pod of it could start
	}
	if want.Redis != nil && have.Password != nil {
		// Redis reads its password when it starts. A hash of it would let it be guessed.
		want.Redis.Spec.Template.WithAnnotations(map[string]string{desired.AnnotationSecret: have.Password.ResourceVersion})
	}
	return errors.Join(err, ensure(ctx, w, bot, want.Redis, &have.Redis, appsv1.ExtractStatefulSet))
}

// password makes the Secret of a managed Redis with a password that nobody knows. One that is there is left as it is,
// and stays as long as the bot: the operator may neither change nor delete Secrets.
func (w *Writer) password(ctx context.Context, bot *v1alpha1.WechatBot, want *corev1.SecretApplyConfiguration, have *observe.Children) error {
	switch {
	case want == nil:
		return nil
	case have.Password == nil:
	case metav1.GetControllerOf(have.Password) == nil && have.Password.DeletionTimestamp.IsZero():
		return nil // the user's own, or one that was restored: it is used and never written, and stays without an owner
	default:
		return takeable(have.Password, bot, kindOf[core.Secret]())
	}
	password := rand.Text()
	secret := &core.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: *want.Name, Namespace: *want.Namespace, Labels: want.Labels,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(bot, v1alpha1.SchemeGroupVersion.WithKind("WechatBot"))},
		},
		StringData: map[string]string{
			desired.KeyRedisPassword: password,
			desired.KeyRedisAuth:     "requirepass " + password + "\n",
		},
	}
	secret.OwnerReferences[0].BlockOwnerDeletion = nil // as on the other children
	err := w.Secrets.Create(ctx, secret, client.FieldOwner(naming.FieldOwner))
	w.count(kindOf[core.Secret](), "applied", err)
	if err != nil {
		return &FailedError{kindOf[core.Secret](), secret.Name, err}
	}
	have.Password = &core.Secret{ObjectMeta: secret.ObjectMeta}
	return nil
}

// grow asks for more room on the volume of a managed Redis. The claim is the StatefulSet's, whose own claim cannot be
// changed; until the volume is there, its size cannot be either.
func (w *Writer) grow(ctx context.Context, want resource.Quantity, have *observe.Children) error {
	live := have.RedisClaim
	if live == nil || live.Status.Phase != core.ClaimBound || want.Cmp(*live.Spec.Resources.Requests.Storage()) <= 0 {
		return nil
	}
	claim := corev1.PersistentVolumeClaim(live.Name, live.Namespace).
		WithUID(live.UID).
		WithSpec(corev1.PersistentVolumeClaimSpec().
			WithResources(corev1.VolumeResourceRequirements().WithRequests(core.ResourceList{core.ResourceStorage: want})))
	err := write(ctx, w, live.Name, claim, &have.RedisClaim)
	if apierrors.IsForbidden(err) && strings.Contains(err.Error(), "resize") {
		return &CannotGrowError{Claim: live.Name, Class: className(live), Has: *live.Spec.Resources.Requests.Storage()}
	}
	return err
}

func className(claim *core.PersistentVolumeClaim) string {
	if claim.Spec.StorageClassName == nil {
		return ""
	}
	return *claim.Spec.StorageClassName
}
