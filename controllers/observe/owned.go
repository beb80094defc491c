package observe

import (
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// IndexOwned indexes pods and ConfigMaps by the bot that their labels name and by what they are of it. In a namespace of a
// thousand bots a list by labels would look at the objects of all. Session stores are read by their names: they are not in it,
// as a bot has eight of them.
const IndexOwned = "owned"

// Owned gives an object's value in IndexOwned.
func Owned(o client.Object) []string {
	labels := o.GetLabels()
	if labels[naming.LabelInstance] == "" || labels[naming.LabelComponent] == naming.Sessions {
		return nil
	}
	return []string{ownedAs(labels[naming.LabelInstance], labels[naming.LabelComponent])}
}

// owned selects a bot's objects that are a component.
func owned(bot *v1alpha1.WechatBot, component string) client.MatchingFields {
	return client.MatchingFields{IndexOwned: ownedAs(bot.Name, component)}
}

func ownedAs(bot, component string) string { return bot + " " + component }
