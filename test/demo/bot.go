package demo

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/server"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// words are the server's texts by which a reply's kind is told. The demo sets them itself, so that it need not guess.
var words = map[string]string{
	serverconfig.TextWaiting:     "正在思考，请稍等……",
	serverconfig.TextQueued:      "问题已收到，前面还有问题在处理，马上就轮到您。",
	serverconfig.TextBusy:        "现在太忙了，没能回答这个问题，请过一会儿再问一次。",
	serverconfig.TextTooManyOpen: "您前面的问题还没有答完，这个问题没有收下，请等答完再问。",
	serverconfig.TextRateLimited: "您问得太快了，这个问题没有收下，请过几分钟再问。",
	serverconfig.TextNothingYet:  "还没有可以查看的回答，直接输入问题就可以。",
}

// domain is the bot's, which nobody can reach: what is on it the demo serves itself, see pages.
const domain = "shop.example.com"

const notice = "本服务使用生成式人工智能，这里是演示。"

// bot is the webhook server of the demo's account.
type bot struct {
	account wechatsim.Account
	server  *server.Server
	line    *line
}

// surroundings are what the server calls.
type surroundings struct {
	difyURL, difyKey string
	weChatURL        string
}

// newBot writes the server's files into dir and makes a server of them.
func newBot(ctx context.Context, dir string, o Options, around surroundings, finished func(finishedTurn)) (*bot, error) {
	b := &bot{account: wechatsim.Account{
		Token:          rand.Text(),
		EncodingAESKey: (rand.Text() + rand.Text())[:43],
		AppID:          "wx" + strings.ToLower(rand.Text()[:16]),
		OriginalID:     "gh_" + strings.ToLower(rand.Text()[:12]),
		AppSecret:      strings.ToLower(rand.Text() + rand.Text())[:32],
		Mode:           wechatsim.Secure,
	}}
	config := filepath.Join(dir, "bot.yaml")
	for path, content := range map[string][]byte{
		config: serverconfig.Marshal(b.configuration(dir, o, around)),

		filepath.Join(dir, "token"):            []byte(b.account.Token),
		filepath.Join(dir, "encoding-aes-key"): []byte(b.account.EncodingAESKey),
		filepath.Join(dir, "app-secret"):       []byte(b.account.AppSecret),
		filepath.Join(dir, "dify-api-key"):     []byte(around.difyKey),
	} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return nil, fmt.Errorf("writing the server's files: %w", err)
		}
	}
	log := slog.New(turnLog{Handler: o.Log.Handler(), finished: finished})
	var err error
	b.server, err = server.New(server.Options{ //nolint:contextcheck // it takes none: its listeners live until Run ends
		ConfigPath: config, Log: log, HTTPLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	})
	if err != nil {
		return nil, fmt.Errorf("making the webhook server: %w", err)
	}
	b.account.URL = "http://" + b.server.Addr().String() + serverconfig.Default().Path
	if b.line, err = newLine(ctx); err != nil {
		return nil, err
	}
	return b, nil
}

// configuration is a bot's usual one, but for limits that a visitor who tries things would soon meet.
func (b *bot) configuration(dir string, o Options, around surroundings) serverconfig.Config {
	c := serverconfig.Default()
	c.Bot, c.SecretsDir = "demo/demo", dir
	c.Listen, c.AdminListen = "127.0.0.1:0", "127.0.0.1:0"
	c.WeChat.AppID, c.WeChat.OriginalID = b.account.AppID, b.account.OriginalID
	c.WeChat.APIBaseURL, c.WeChat.PictureHosts = around.weChatURL, []string{around.weChatURL}
	c.Handover.Words = []string{"人工", "转人工"}
	c.Dify.BaseURL = around.difyURL
	c.Dify.Timeout = serverconfig.Duration(2 * time.Minute)
	c.Reply.Deadline = serverconfig.Duration(o.Deadline)
	c.Reply.Texts = words
	c.Reply.Feedback, c.Reply.Notice = true, notice
	c.Domain, c.Reply.Page.Enabled = domain, true
	c.Limits.Questions = 1000
	return c
}

// alias is what the server calls a follower in its log: openids are never there.
func (b *bot) alias(openid string) string {
	mac := hmac.New(sha256.New, []byte(b.account.Token))
	mac.Write([]byte(openid))
	return hex.EncodeToString(mac.Sum(nil)[:5])
}
