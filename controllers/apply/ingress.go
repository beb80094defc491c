package apply

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	networkingv1 "k8s.io/client-go/applyconfigurations/networking/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
	"github.com/wechatbot/wechatbot-operator/controllers/observe"
)

// ingress makes the Ingress. One that is to have another class is made anew: the controller of the class before leaves
// its address in the status, which would say that followers are let in where nobody takes the new class.
func (w *Writer) ingress(ctx context.Context, bot *v1alpha1.WechatBot, want *desired.Children, have *observe.Children) error {
	live := have.Ingress
	if want.Ingress != nil && live != nil && metav1.IsControlledBy(live, bot) && !equality.Semantic.DeepEqual(live.Spec.IngressClassName, want.Ingress.Spec.IngressClassName) {
		owned, err := networkingv1.ExtractIngress(whole(live), naming.FieldOwner)
		if err != nil {
			return &FailedError{"Ingress", live.Name, fmt.Errorf("reading what is ours of it: %w", err)}
		}
		if otherClass(owned, want.Ingress) {
			if err := prune(ctx, w, bot, &have.Ingress); err != nil {
				return err
			}
		}
	}
	return ensure(ctx, w, bot, want.Ingress, &have.Ingress, networkingv1.ExtractIngress)
}

// otherClass tells whether the operator itself gave an Ingress a class that it now means to change.
func otherClass(owned, want *networkingv1.IngressApplyConfiguration) bool {
	if owned.Spec == nil || owned.Spec.IngressClassName == nil {
		return false
	}
	return want.Spec.IngressClassName == nil || *want.Spec.IngressClassName != *owned.Spec.IngressClassName
}
