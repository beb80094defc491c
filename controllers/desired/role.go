package desired

import (
	rbacv1 "k8s.io/client-go/applyconfigurations/rbac/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

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
