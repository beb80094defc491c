package wechat

import (
	"net/url"
	"strings"
)

var (
	escapeSpace = strings.NewReplacer("+", "%20")
	safeLabel   = strings.NewReplacer("<", "＜", ">", "＞", "\n", " ")
)

// TapLink is a link for a text reply: a tap on label sends send as the follower's own message, with id as its MenuID. It works for every
// type of account, though Tencent does not document it for passive replies; some old clients show the label only.
func TapLink(label, send, id string) string {
	return `<a href="weixin://bizmsgmenu?msgmenucontent=` + escape(send) + "&msgmenuid=" + escape(id) + `">` +
		safeLabel.Replace(clean(label)) + "</a>"
}

// Link is a link for a text reply that opens an address, which holds no quotes, blanks or angle brackets.
func Link(label, address string) string {
	return `<a href="` + clean(address) + `">` + safeLabel.Replace(clean(label)) + "</a>"
}

// MiniProgramLink is a link for a text reply that opens a page of a mini program which the account is linked to; old clients
// open the address. None of them holds quotes, blanks or angle brackets.
func MiniProgramLink(label, appID, path, address string) string {
	return `<a data-miniprogram-appid="` + clean(appID) + `" data-miniprogram-path="` + clean(path) + `" href="` + clean(address) + `">` +
		safeLabel.Replace(clean(label)) + "</a>"
}

// escape leaves nothing that could end the attribute. Clients do not read + as a space.
func escape(s string) string { return escapeSpace.Replace(url.QueryEscape(clean(s))) }
