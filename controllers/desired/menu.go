package desired

import (
	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
)

// menu is the account's menu as the server reads it.
func menu(buttons []v1alpha1.MenuButton) []serverconfig.MenuButton {
	var all []serverconfig.MenuButton
	for i := range buttons {
		b := &buttons[i]
		button := serverconfig.MenuButton{MenuItem: menuItem(b.Name, &b.MenuAction)}
		for j := range b.Items {
			button.Items = append(button.Items, menuItem(b.Items[j].Name, &b.Items[j].MenuAction))
		}
		all = append(all, button)
	}
	return all
}

func menuItem(name string, a *v1alpha1.MenuAction) serverconfig.MenuItem {
	item := serverconfig.MenuItem{Name: name, URL: string(a.URL), Question: a.Question, Reply: a.Reply, Command: a.Command, Handover: a.Handover}
	if m := a.MiniProgram; m != nil {
		item.MiniProgram = &serverconfig.MiniProgram{AppID: m.AppID, Path: m.Path, URL: string(m.URL)}
	}
	return item
}
