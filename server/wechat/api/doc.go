// Package api is a client of WeChat's server API: what an Official Account asks of WeChat, as opposed to what WeChat pushes to it.
// It holds the account's access token, sends customer-service messages, and reads and writes media, menu, agents and the account's own
// settings.
//
// It makes one call for one method, and says by its errors what happened and what it means; it must not know followers' sessions, turns,
// windows or capabilities: who calls it decides what to send, when, and what to do about an error. It logs nothing. No error's text holds
// the AppSecret, a token, an openid or a message.
//
// Sources of the facts in this package, below developers.weixin.qq.com/doc/: "send" is service/api/customer/message/api_sendcustommessage
// (also below subscription/), "kf" is subscription/guide/product/kf/{intro,forwarding}, "typing" is service/api/customer/message/api_typing,
// "token" is service/api/base/api_getstableaccesstoken, "menu" is service/api/custommenu, "media" is
// service/api/material/{temporary,permanent}, "callback" is service/Basic_Information/Network_Detection, "quota" is service/api/apimanage.
// What is marked "seen" was seen in public captures and in the code of others.
package api
