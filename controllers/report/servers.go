package report

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wechatbot/wechatbot-operator/api/serverstatus"
	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
	"github.com/wechatbot/wechatbot-operator/controllers/observe"
)

// told are the conditions that webhook servers tell of WeChat's side, in their order. They do not decide Ready.
var told = []string{v1alpha1.ConditionConnected, v1alpha1.ConditionAccountReady, v1alpha1.ConditionMenuPublished}

// serverFindings adds what the servers say. A condition of which nothing new is known is left out, and stays as it is.
func serverFindings(all map[string]*finding, bot *v1alpha1.WechatBot, state *observe.State) {
	servers := &state.Servers
	account, menu := bot.Spec.WeChat.AppSecretRef != nil, len(bot.Spec.Menu) > 0
	for condition, find := range map[string]func() *finding{
		v1alpha1.ConditionConnected:     func() *finding { return connected(bot, servers) },
		v1alpha1.ConditionAccountReady:  func() *finding { return accountReady(bot, servers) },
		v1alpha1.ConditionMenuPublished: func() *finding { return menuPublished(servers) },
	} {
		was := meta.FindStatusCondition(bot.Status.Conditions, condition)
		switch {
		case servers.Off, condition == v1alpha1.ConditionAccountReady && !account, condition == v1alpha1.ConditionMenuPublished && !menu:
			all[condition] = nil
		case state.Children.Deployment != nil && isStopped(bot, state):
			if was == nil || was.Status != metav1.ConditionTrue { // nobody looks whether it still is so
				all[condition] = nil
			}
		default:
			f := unasked(servers)
			if f == nil && servers.Asked {
				f = find()
			}
			if f == nil && was == nil {
				f = unknown(v1alpha1.ReasonNotChecked, "no webhook server has said anything of it yet")
			}
			if f != nil {
				all[condition] = f
			}
		}
	}
}

// unasked says why the servers' word is not known; nil if it is, or if they were not asked yet.
func unasked(servers *observe.Servers) *finding {
	switch servers.Failure {
	case observe.StatusNoConnection:
		return unknown(v1alpha1.ReasonServersUnreachable, "the operator gets no connection to port %d of the webhook servers: let network policies admit "+
			"the operator's pods to it, as that of spec.networkPolicy.enabled does", desired.AdminPort)
	case observe.StatusRefused:
		return unknown(v1alpha1.ReasonServersUnreachable, "port %d of the webhook servers refuses connections: see their logs", desired.AdminPort)
	case observe.StatusNoAnswer:
		return unknown(v1alpha1.ReasonServersUnreachable, "the webhook servers take connections to port %d, but give no answer: see their logs", desired.AdminPort)
	case observe.StatusNotServed:
		return unknown(v1alpha1.ReasonStatusNotServed, "the webhook servers' version does not say how it is: leave spec.image out, or name a newer one")
	case observe.StatusUnreadable:
		return unknown(v1alpha1.ReasonStatusNotServed, "what answers at port %d of the webhook servers is no status that this operator can read: "+
			"leave spec.image out, or name that of the operator's version", desired.AdminPort)
	default:
		return nil
	}
}

func connected(bot *v1alpha1.WechatBot, servers *observe.Servers) *finding {
	token := bot.Spec.TokenSecretRef
	switch servers.Pushes {
	case observe.PushesAuthentic:
		return good(v1alpha1.ReasonPushesArrive, "WeChat's pushes arrive")
	case observe.PushesNone:
		return bad(v1alpha1.ReasonNoPushYet, "WeChat has pushed nothing yet: paste %s into its console (服务器配置), with the Token of Secret %q, "+
			"switch it on, and write to the account", desired.URL(bot), token.Name)
	case observe.PushesWrongSignature:
		return bad(v1alpha1.ReasonSignatureMismatch, "what comes is not signed with the bot's Token: that of WeChat's console (服务器配置) must be the one in "+
			"key %q of Secret %q (spec.tokenSecretRef)", token.Key, token.Name)
	case observe.PushesUndecryptable:
		if bot.Spec.WeChat.EncodingAESKeySecretRef == nil {
			return bad(v1alpha1.ReasonDecryptionFailed, "WeChat's pushes come encrypted: set spec.wechat.encodingAESKeySecretRef and spec.wechat.appID, or choose "+
				"明文模式 in WeChat's console (服务器配置)")
		}
		return bad(v1alpha1.ReasonDecryptionFailed, "WeChat's pushes cannot be decrypted: the EncodingAESKey in key %q of Secret %q and spec.wechat.appID must be "+
			"those of WeChat's console", bot.Spec.WeChat.EncodingAESKeySecretRef.Key, bot.Spec.WeChat.EncodingAESKeySecretRef.Name)
	default:
		return nil
	}
}

const tokenCall = "/cgi-bin/stable_token"

// regularCalls are those that the servers make for themselves again and again: the end of a failure shows soon. Other calls
// may have failed by chance and not be made again for hours.
var regularCalls = []string{tokenCall, "/cgi-bin/get_current_selfmenu_info", "/cgi-bin/getcallbackip"}

// accountReady names the failure that stands in the way of most.
func accountReady(bot *v1alpha1.WechatBot, servers *observe.Servers) *finding {
	account := servers.Account
	if account == nil {
		return unknown(v1alpha1.ReasonNotChecked, "the webhook servers have not read the AppSecret yet")
	}
	code := func(calls []string, codes ...int) int {
		for _, e := range account.Errors {
			if slices.Contains(codes, e.Errcode) && (calls == nil || slices.Contains(calls, e.API)) {
				return e.Errcode
			}
		}
		return 0
	}
	tokens := []string{tokenCall}
	secret := bot.Spec.WeChat.AppSecretRef
	switch {
	case code(nil, 40013, 41002) != 0:
		return bad(v1alpha1.ReasonAppSecretRejected, "WeChat knows no account with the AppID %s: correct spec.wechat.appID", bot.Spec.WeChat.AppID)
	case code(tokens, 40001, 40125, 41004) != 0:
		return bad(v1alpha1.ReasonAppSecretRejected, "WeChat refuses the AppSecret (errcode %d): put that of its console (开发接口管理) into key %q of Secret %q",
			code(tokens, 40001, 40125, 41004), secret.Key, secret.Name)
	case code(nil, 40243) != 0:
		return bad(v1alpha1.ReasonAppSecretFrozen, "the AppSecret is frozen: unfreeze it in WeChat's console (开发接口管理), which takes ten minutes")
	case code(nil, 40164) != 0:
		return bad(v1alpha1.ReasonIPNotWhitelisted, "WeChat refuses calls from addresses that are not on the account's IP list: add %s in its console "+
			"(开发接口管理, IP白名单)", addresses(account))
	case code(nil, 89501, 89503, 89506, 89507) != 0:
		return bad(v1alpha1.ReasonIPNotWhitelisted, "the account's administrator has to confirm the servers' address in WeChat (errcode %d): %s",
			code(nil, 89501, 89503, 89506, 89507), addresses(account))
	case failedWithoutAnswer(account):
		return bad(v1alpha1.ReasonUnreachable, "the webhook servers get no answer of WeChat's API: let them reach api.weixin.qq.com, port 443 (DNS, proxy, "+
			"network policies)")
	case code(nil, 48004, 50002) != 0:
		return bad(v1alpha1.ReasonNotEntitled, "WeChat has limited the account (errcode %d): look for its message in the console", code(nil, 48004, 50002))
	case code(nil, 45009, 48006) != 0:
		return bad(v1alpha1.ReasonQuotaExhausted, "the account's calls of the day are used up (errcode %d): they come back at midnight in Beijing, or clear them "+
			"in WeChat's console (接口权限)", code(nil, 45009, 48006))
	case bot.Spec.Reply.Mode == v1alpha1.ReplyCustomerService && account.Capabilities.CustomerService == serverstatus.No:
		return bad(v1alpha1.ReasonNotEntitled, "this kind of account may not write to followers by itself, so that spec.reply.mode CustomerService does as "+
			"Passive: have the account verified (认证), or set Passive")
	default:
		return good(v1alpha1.ReasonAccountUsable, "WeChat's API does what the bot needs")
	}
}

func failedWithoutAnswer(account *observe.ServersAccount) bool {
	return slices.ContainsFunc(account.Errors, func(e serverstatus.CallError) bool {
		return e.Errcode == 0 && slices.Contains(regularCalls, e.API)
	})
}

func addresses(account *observe.ServersAccount) string {
	if len(account.Addresses) == 0 {
		return "the public address of the webhook servers"
	}
	return strings.Join(account.Addresses, ", ")
}

// menuPublished is nil while the server that has the account's duty has not said anything.
func menuPublished(servers *observe.Servers) *finding {
	if servers.Account == nil || servers.Account.Menu == nil {
		return nil
	}
	switch menu := servers.Account.Menu; menu.State {
	case serverstatus.MenuPublished:
		return good(v1alpha1.ReasonPublished, "followers see the menu")
	case serverstatus.MenuDrifted:
		return bad(v1alpha1.ReasonDrifted, "somebody has changed the menu in WeChat's console: change spec.menu to match it, or set spec.menuPolicy: Enforce "+
			"to have spec.menu published again")
	case serverstatus.MenuNotEntitled:
		return bad(v1alpha1.ReasonNotEntitled, "this kind of account may have no menu by WeChat's API (errcode %d): its items are links under the welcome and "+
			"/help instead, until the account is verified (认证)", menu.Errcode)
	case serverstatus.MenuRejected:
		return bad(v1alpha1.ReasonRejected, "WeChat refuses the menu (errcode %d): %s", menu.Errcode, menuRefusal(menu.Errcode))
	default:
		return nil
	}
}

// menuRefusals say what an errcode means for spec.menu: every one of WeChat's tables that a menu can meet.
var menuRefusals = map[int]string{
	40015: "correct what a button of spec.menu does", 40017: "correct what a button of spec.menu does", 40022: "correct an item in spec.menu",
	40016: "correct the number of buttons in spec.menu", 40021: "correct spec.menu: WeChat takes no menu of this form",
	40018: "shorten or correct the name of a button in spec.menu", 40025: "shorten or correct the name of an item in spec.menu",
	40019: "shorten a button's text in spec.menu", 40026: "shorten an item's text in spec.menu",
	40020: "shorten the url of a button in spec.menu", 40027: "shorten the url of an item in spec.menu",
	40023: "correct the number of items in spec.menu", 40024: "correct an item in spec.menu",
	40033: "take characters that cannot be shown out of spec.menu",
	40054: "correct the url of an item in spec.menu", 40055: "correct the url of a button in spec.menu",
	40119: "correct a button in spec.menu", 40120: "correct an item in spec.menu",
	40121: "take out of spec.menu what leads to a file: WeChat does not take this kind",
	45010: "delete menus that other tools have made for the account: WeChat takes no more",
	48004: "WeChat has blocked this call for the account: see the notices in its console (站内信)",
	53600: "take out of spec.menu what leads to an article: WeChat does not know it",
	65301: "delete menus for groups of followers (个性化菜单) that other tools have made", 65303: "delete menus for groups of followers (个性化菜单) that other tools have made",
	65304: "delete menus for groups of followers (个性化菜单) that other tools have made", 65305: "delete menus for groups of followers (个性化菜单) that other tools have made",
	65306: "delete menus for groups of followers (个性化菜单) that other tools have made: this kind of account may have none",
	65307: "give spec.menu a button", 65308: "give every button of spec.menu something to do",
	65309: "switch menus on in its console (自定义菜单)",
	65316: "let the urls of spec.menu lead to three domains at most", 65317: "correct a url in spec.menu: WeChat does not take it",
}

func menuRefusal(code int) string {
	if what, ok := menuRefusals[code]; ok {
		return what
	}
	return "correct spec.menu; docs/troubleshooting.md has the errcodes"
}

// storeSays gives the condition of a session store that a server says does not answer.
func storeSays(bot *v1alpha1.WechatBot, state *observe.State) *finding {
	words := state.Servers.StoreError
	switch bot.Spec.Session.Store() {
	case v1alpha1.StoreConfigMap:
		return bad(v1alpha1.ReasonStoreUnavailable, "a webhook server cannot use the ConfigMaps that keep the conversations: %s", words)
	case v1alpha1.StoreManagedRedis:
		return bad(v1alpha1.ReasonRedisUnreachable, "a webhook server gets no answer of the managed Redis: %s: check that network policies let it reach the "+
			"Redis, and that the Redis was restarted after a change of its Secret", words)
	default:
		return bad(v1alpha1.ReasonRedisUnreachable, "a webhook server gets no answer of the Redis of spec.session.redis: %s: check its addresses, password and TLS", words)
	}
}

// KnownOfServers reports whether the bot's status says already what its servers say: after a start of the operator, say.
func KnownOfServers(bot *v1alpha1.WechatBot, servers observe.Servers) bool {
	now := map[string]*finding{}
	serverFindings(now, bot, &observe.State{Servers: servers})
	for condition, f := range now {
		was := meta.FindStatusCondition(bot.Status.Conditions, condition)
		if f == nil != (was == nil) || f != nil && (was.Status != f.status || was.Reason != f.reason || was.Message != clip(f.message)) {
			return false
		}
	}
	store := meta.FindStatusCondition(bot.Status.Conditions, v1alpha1.ConditionSessionStoreReady)
	said := store != nil && slices.Contains([]string{v1alpha1.ReasonRedisUnreachable, v1alpha1.ReasonStoreUnavailable}, store.Reason)
	return said == (servers.StoreError != "") && (!said || strings.Contains(store.Message, servers.StoreError))
}

// lacks is what WeChat's side lacks of a bot that is ready, for its line; empty if nothing.
func lacks(status *v1alpha1.WechatBotStatus) string {
	for _, condition := range told {
		if c := meta.FindStatusCondition(status.Conditions, condition); c != nil && c.Status == metav1.ConditionFalse {
			return fmt.Sprintf("%s: %s", c.Reason, c.Message)
		}
	}
	return ""
}
