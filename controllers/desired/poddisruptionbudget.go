package desired

import (
	"k8s.io/apimachinery/pkg/util/intstr"
	metav1 "k8s.io/client-go/applyconfigurations/meta/v1"
	policyv1 "k8s.io/client-go/applyconfigurations/policy/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// PodDisruptionBudget lets a drain of nodes take one replica at a time.
func PodDisruptionBudget(bot *v1alpha1.WechatBot) *policyv1.PodDisruptionBudgetApplyConfiguration {
	return policyv1.PodDisruptionBudget(bot.Name, bot.Namespace).
		WithLabels(naming.Labels(bot, naming.Server)).
		WithOwnerReferences(owner(bot)).
		WithSpec(policyv1.PodDisruptionBudgetSpec().
			WithMaxUnavailable(intstr.FromInt32(1)).
			WithSelector(metav1.LabelSelector().WithMatchLabels(naming.Selector(bot))))
}
