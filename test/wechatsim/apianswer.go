package wechatsim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
)

// apiAnswer is what a call is answered with: an errcode, or a value as JSON, or a file.
type apiAnswer struct {
	code    int
	value   any // nil: errcode and errmsg only
	file    []byte
	headers map[string]string
	shown   *Event // what the follower sees of it
}

func refuse(code int) apiAnswer { return apiAnswer{code: code} }

// write writes an answer as WeChat does: with status 200, also to say an error.
func (s *server) write(w http.ResponseWriter, c *call, a apiAnswer) {
	if a.file != nil {
		for name, value := range a.headers {
			w.Header().Set(name, value)
		}
		_, _ = w.Write(a.file)
		return
	}
	value := a.value
	if value == nil || a.code != 0 {
		value = errorAnswer{a.code, s.errmsg(c, a.code)}
	}
	var body bytes.Buffer
	e := json.NewEncoder(&body)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		panic("wechatsim: " + err.Error()) // only values of this package come here
	}
	w.Header().Set("Content-Type", "application/json; encoding=utf-8")
	_, _ = w.Write(bytes.TrimSuffix(body.Bytes(), []byte("\n")))
}

type errorAnswer struct {
	Code    int    `json:"errcode"`
	Message string `json:"errmsg"`
}

// errmsg is what stands beside an errcode.
func (s *server) errmsg(c *call, code int) string {
	if code == 0 {
		return "ok"
	}
	text, ok := errorTexts[code]
	if !ok {
		text = "refused"
	}
	if code == 40164 {
		s.mu.Lock()
		a := s.caller(c)
		s.mu.Unlock()
		text = fmt.Sprintf("invalid ip %s ipv6 ::ffff:%s, not in whitelist", a, a)
		if a.Is6() {
			text = fmt.Sprintf("invalid ip %s ipv6 %s, not in whitelist", a, a)
		}
	}
	r := random16()
	return fmt.Sprintf("%s rid: %x-%x-%x", text, r[:4], r[4:8], r[8:12])
}

// errorTexts are as public reports quote them, as far as any does.
var errorTexts = map[int]string{
	-1: "system error", 40001: "invalid credential, access_token is invalid or not latest", 40003: "invalid openid", 40004: "invalid media type",
	40005: "invalid file type", 40007: "invalid media_id", 40008: "invalid message type", 40013: "invalid appid", 40014: "invalid access_token",
	40016: "invalid button size", 40017: "invalid button type", 40018: "invalid button name size", 40019: "invalid button key size",
	40020: "invalid button url size", 40022: "invalid sub button level", 40023: "invalid sub button size", 40024: "invalid sub button type",
	40025: "invalid sub button name size", 40026: "invalid sub button key size", 40027: "invalid sub button url size", 40033: "invalid charset",
	40054: "invalid sub button url domain", 40055: "invalid button url domain", 40066: "invalid url", 40125: "invalid appsecret",
	40200: "invalid account type", 40201: "invalid callback url", 40243: "appsecret is frozen", 41001: "access_token missing",
	41005: "media data missing", 42001: "access_token expired", 43001: "require GET method", 43002: "require POST method",
	43004: "require subscribe", 44002: "empty post data", 44004: "empty content", 45001: "media size out of limit",
	45002: "content size out of limit", 45007: "playtime out of limit", 45008: "article size out of limit", 45009: "reach max api daily quota limit",
	45011: "api minute-quota reach limit, must slower, retry next minute", 45015: "response out of time limit or subscription is canceled",
	45047: "out of response count limit", 45072: "invalid command", 45080: "client is not in interaction", 45081: "client is already in typing",
	46003: "menu no exist", 47001: "data format error", 48001: "api unauthorized", 48002: "user block receive message",
	48004: "api forbidden for irregularities", 50002: "user limited", 65400: "please enable new kf function", 65401: "invalid kf account",
	65402: "kf account not bind", 65308: "button without action", 70000: "blocked", 76003: "invalid cgi_path",
}
