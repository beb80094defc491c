package desired

import (
	"maps"
	"slices"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
)

// URL is the address to paste into WeChat's console.
func URL(bot *v1alpha1.WechatBot) string { return "https://" + bot.Spec.Domain + webhookPath(bot) }

func webhookPath(bot *v1alpha1.WechatBot) string {
	path := serverconfig.Default().Path
	set(&path, bot.Spec.Path)
	return path
}

// PagePath is below which the server shows pages of whole answers; empty if it shows none.
func PagePath(bot *v1alpha1.WechatBot) string {
	if bot.Spec.Reply.Page == nil || !bot.Spec.Reply.Page.Enabled {
		return ""
	}
	return serverconfig.PagePath(webhookPath(bot))
}

// paths are what the server answers at the domain: the webhook, and the files at the root that WeChat looks for.
func paths(bot *v1alpha1.WechatBot) []string {
	all := []string{webhookPath(bot)}
	for _, file := range slices.Sorted(maps.Keys(bot.Spec.WeChat.VerificationFiles)) {
		all = append(all, "/"+file)
	}
	return all
}
