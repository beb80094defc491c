// Package wechat is the wire protocol between WeChat and the server of an Official Account: how a
// push is signed, encrypted and written in XML, and how it may be replied to.
//
// An [Account] authenticates, decrypts and parses pushes and writes their replies. The package does
// no I/O and has no clock: bodies, queries and the time are handed in. It knows nothing of HTTP,
// turns, sessions or Dify, and no error of it contains a secret, an openid or a message's text.
//
// Facts are from Tencent's pages 消息推送 (push, encryption), 接收普通消息, 接收事件推送 and
// 被动回复用户消息; what those leave open follows recorded pushes and is said where it matters.
package wechat
