package desired

import (
	corev1 "k8s.io/client-go/applyconfigurations/core/v1"
	rbacv1 "k8s.io/client-go/applyconfigurations/rbac/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// ServiceAccount is what the server's pods run as. Only pods that write the ConfigMap store get its token.
func ServiceAccount(bot *v1alpha1.WechatBot) *corev1.ServiceAccountApplyConfiguration {
	return corev1.ServiceAccount(bot.Name, bot.Namespace).
		WithLabels(naming.Labels(bot, naming.Server)).
		WithOwnerReferences(owner(bot)).
		WithAutomountServiceAccountToken(false)
}

// Role lets the server read and patch its own session store, which the operator makes: creating cannot be allowed for
// some names only.
func Role(bot *v1alpha1.WechatBot) *rbacv1.RoleApplyConfiguration {
	return rbacv1.Role(naming.SessionStore(bot), bot.Namespace).
		WithLabels(naming.Labels(bot, naming.Sessions)).
		WithOwnerReferences(owner(bot)).
		WithRules(rbacv1.PolicyRule().
			WithAPIGroups("").WithResources("configmaps").WithResourceNames(sessionStore(bot).Objects()...).
			WithVerbs("get", "patch"))
}

// RoleBinding gives the Role to the server's pods.
func RoleBinding(bot *v1alpha1.WechatBot) *rbacv1.RoleBindingApplyConfiguration {
	return rbacv1.RoleBinding(naming.SessionStore(bot), bot.Namespace).
		WithLabels(naming.Labels(bot, naming.Sessions)).
		WithOwnerReferences(owner(bot)).
		WithRoleRef(rbacv1.RoleRef().
			WithAPIGroup("rbac.authorization.k8s.io").WithKind("Role").WithName(naming.SessionStore(bot))).
		WithSubjects(rbacv1.Subject().WithKind("ServiceAccount").WithName(bot.Name).WithNamespace(bot.Namespace))
}
