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
	"sync"
	"time"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/server"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// words are the server's texts by which a reply's kind is told. The demo sets them itself, so that it need not guess.
var words = map[string]string{
	serverconfig.TextWaiting:     "正在思考，请稍等……",
	serverconfig.TextQueued:      "问题已收到，前面还有问题在处理，马上就轮到您。",
	serverconfig.TextBusy:        "现在提问的人太多，这个问题没有收下，请过一会儿再问一次。",
	serverconfig.TextTooManyOpen: "您前面的问题还没有答完，这个问题没有收下，请等答完再问。",
	serverconfig.TextRateLimited: "您问得太快了，这个问题没有收下，请过几分钟再问。",
	serverconfig.TextNothingYet:  "还没有可以查看的回答，直接输入问题就可以。",
}

// botState is whether the server runs.
type botState string

const (
	running  botState = "running"
	stopping botState = "stopping" // it finishes its turns
	stopped  botState = "stopped"
)

// bot is the webhook server of the demo's account. It can be stopped and started again, which moves it to another port.
type bot struct {
	config  string // path of its file
	account wechatsim.Account
	log     *slog.Logger
	changed func(botState)
	first   *server.Server
	wake    chan struct{} // holds a token when it is to start

	mu    sync.Mutex
	state botState
	url   string // where it is, or was
	stop  context.CancelFunc
}

// newBot writes the server's files into dir and makes a server of them.
func newBot(dir string, o Options, difyURL, difyKey string, finished func(finishedTurn), changed func(botState)) (*bot, error) {
	b := &bot{
		config: filepath.Join(dir, "bot.yaml"), changed: changed, wake: make(chan struct{}, 1), state: stopped,
		account: wechatsim.Account{
			Token:          rand.Text(),
			EncodingAESKey: (rand.Text() + rand.Text())[:43],
			AppID:          "wx" + strings.ToLower(rand.Text()[:16]),
			OriginalID:     "gh_" + strings.ToLower(rand.Text()[:12]),
			Mode:           wechatsim.Secure,
		},
		log: slog.New(turnLog{Handler: o.Log.Handler(), finished: finished}),
	}
	for name, content := range map[string]string{
		"token": b.account.Token, "encoding-aes-key": b.account.EncodingAESKey, "dify-api-key": difyKey,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			return nil, fmt.Errorf("writing the server's secrets: %w", err)
		}
	}
	if err := os.WriteFile(b.config, serverconfig.Marshal(b.configuration(dir, o, difyURL)), 0o600); err != nil {
		return nil, fmt.Errorf("writing the server's configuration: %w", err)
	}
	var err error
	if b.first, err = b.newServer(); err != nil {
		return nil, err
	}
	b.url = "http://" + b.first.Addr().String() + serverconfig.Default().Path
	return b, nil
}

// configuration is a bot's usual one, but for limits that a visitor who tries things would soon meet.
func (b *bot) configuration(dir string, o Options, difyURL string) serverconfig.Config {
	c := serverconfig.Default()
	c.Bot, c.SecretsDir = "demo/demo", dir
	c.Listen, c.AdminListen = "127.0.0.1:0", "127.0.0.1:0"
	c.WeChat.AppID, c.WeChat.OriginalID = b.account.AppID, b.account.OriginalID
	c.Dify.BaseURL = difyURL
	c.Dify.Timeout = serverconfig.Duration(2 * time.Minute)
	c.Reply.Deadline = serverconfig.Duration(o.Deadline)
	c.Reply.Texts = words
	c.Limits.Questions = 1000
	return c
}

func (b *bot) newServer() (*server.Server, error) {
	s, err := server.New(server.Options{
		ConfigPath: b.config, Log: b.log, HTTPLog: slog.NewLogLogger(b.log.Handler(), slog.LevelDebug),
	})
	if err != nil {
		return nil, fmt.Errorf("making the webhook server: %w", err)
	}
	return s, nil
}

// run serves until ctx ends, with the pauses that set orders.
func (b *bot) run(ctx context.Context) error {
	for s := b.first; ; {
		life, stop := context.WithCancel(ctx)
		b.become(running, "http://"+s.Addr().String()+serverconfig.Default().Path, stop)
		err := s.Run(life)
		stop()
		b.become(stopped, "", nil)
		if err != nil || ctx.Err() != nil {
			return err //nolint:wrapcheck // it says itself what was lost
		}
		select {
		case <-ctx.Done():
			return nil
		case <-b.wake:
		}
		if s, err = b.newServer(); err != nil {
			return err
		}
	}
}

func (b *bot) become(state botState, url string, stop context.CancelFunc) {
	b.mu.Lock()
	b.state, b.stop = state, stop
	if url != "" {
		b.url = url
	}
	b.mu.Unlock()
	b.changed(state)
}

// set orders the server to run, or to stop as a pod does: it finishes its turns first.
func (b *bot) set(run bool) {
	b.mu.Lock()
	state, stop := b.state, b.stop
	if !run && state == running {
		b.state = stopping
	}
	b.mu.Unlock()
	switch {
	case run && state == stopped:
		select {
		case b.wake <- struct{}{}:
		default: // it is being started
		}
	case !run && state == running:
		b.changed(stopping)
		stop()
	}
}

// now gives the state and the account with the URL of this moment.
func (b *bot) now() (botState, wechatsim.Account) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.account
	a.URL = b.url
	return b.state, a
}

// alias is what the server calls a follower in its log: openids are never there.
func (b *bot) alias(openid string) string {
	mac := hmac.New(sha256.New, []byte(b.account.Token))
	mac.Write([]byte(openid))
	return hex.EncodeToString(mac.Sum(nil)[:5])
}
