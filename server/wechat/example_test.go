package wechat_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/wechat"
)

// A server in plain mode receives a text and answers it.
func Example() {
	account, err := wechat.NewAccount(wechat.Options{Tokens: []string{"ourToken"}, OriginalID: "gh_3f1c9a7e52b0"})
	if err != nil {
		fmt.Println(err)
		return
	}
	signature := wechat.Sign("ourToken", "1767225600", "1372623149")
	query, err := wechat.ParseQuery("signature=" + signature + "&timestamp=1767225600&nonce=1372623149")
	if err != nil {
		fmt.Println(err)
		return
	}
	body := []byte("<xml><ToUserName>gh_3f1c9a7e52b0</ToUserName><FromUserName>oA</FromUserName>" +
		"<CreateTime>1767225595</CreateTime><MsgType>text</MsgType><Content>几点关门？</Content><MsgId>1</MsgId></xml>")
	now := time.Unix(1767225600, 0)

	push, err := account.Open(query, body, now)
	switch {
	case errors.Is(err, wechat.ErrUnauthenticated):
		fmt.Println(403)
		return
	case errors.Is(err, wechat.ErrUnusable):
		fmt.Println(wechat.Success)
		return
	}
	fmt.Println(push.Content, push.DedupeKey(), push.SentAfter())

	reply, err := account.Reply(push, wechat.Text{Content: "21:00"}, now)
	fmt.Println(string(reply), err)
	// Output:
	// 几点关门？ m1 5s
	// <xml><ToUserName><![CDATA[oA]]></ToUserName><FromUserName><![CDATA[gh_3f1c9a7e52b0]]></FromUserName><CreateTime>1767225600</CreateTime><MsgType><![CDATA[text]]></MsgType><Content><![CDATA[21:00]]></Content></xml> <nil>
}
