package desired

import (
	rbacv1 "k8s.io/client-go/applyconfigurations/rbac/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// RoleBinding gives the Role to the server's pods.
func RoleBinding(bot *v1alpha1.WechatBot) *rbacv1.RoleBindingApplyConfiguration {
	return rbacv1.RoleBinding(naming.SessionStore(bot), bot.Namespace).
		WithLabels(naming.Labels(bot, naming.Sessions)).
		WithOwnerReferences(owner(bot)).
		WithRoleRef(rbacv1.RoleRef().
			WithAPIGroup("rbac.authorization.k8s.io").WithKind("Role").WithName(naming.SessionStore(bot))).
		WithSubjects(rbacv1.Subject().WithKind("ServiceAccount").WithName(bot.Name).WithNamespace(bot.Namespace))
}
