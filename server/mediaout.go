package server

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/wechatbot/wechatbot-operator/api/serverstatus"
	"github.com/wechatbot/wechatbot-operator/server/account"
	"github.com/wechatbot/wechatbot-operator/server/media"
	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/wechat/api"
)

// sent are the types of pictures that WeChat shows; others stay links.
var sent = []string{"image/jpeg", "image/png", "image/gif"}

// Voices out: WeChat plays 60 s. At a usual speed that is about 270 Chinese characters.
const (
	maxSpeech   = 2 << 20 // bytes
	longestTalk = 60 * time.Second
	talkRunes   = 250
)

var (
	errNotMP3     = errors.New("the app's text-to-speech gives no MP3: WeChat plays no other")
	errTalksLong  = errors.New("the text read out takes more than the 60 s that WeChat plays")
	errNoTalk     = errors.New("the answer has no words to read out")
	errNoUploads  = errors.New("this kind of account may not upload media")
	markdownImage = regexp.MustCompile(`!\[[^\]\n]*\]\(\s*<?([^\s)>]+)>?[^)\n]*\)`)
	anchor        = regexp.MustCompile(`<a [^>]*>([^<]*)</a>`)
	address       = regexp.MustCompile(`https?://[^\s<>"]+`)
)

// Pictures are those that an answer has, each once: Dify gives a picture as a file, in the text, or both.
func (m *followersMedia) Pictures(a session.Answer) []session.File {
	var all []session.File
	for _, f := range a.Files {
		if f.Type == "image" || strings.HasPrefix(f.MIME, "image/") {
			all = append(all, f)
		}
	}
	root := m.made.Load().root
	for _, found := range markdownImage.FindAllStringSubmatch(a.Markdown, -1) {
		u, err := root.Parse(found[1])
		if err != nil {
			continue
		}
		same := func(f session.File) bool { return withoutQuery(f.URL) == withoutQuery(u.String()) }
		if !slices.ContainsFunc(all, same) {
			all = append(all, session.File{Type: "image", URL: u.String()})
		}
	}
	return all
}

// withoutQuery is an address without its signature.
func withoutQuery(address string) string {
	address, _, _ = strings.Cut(address, "?")
	return address
}

// uploads gives who uploads to WeChat, unless it is known that the account may not.
func (m *followersMedia) uploads() (*api.Client, error) {
	client := m.account.Client()
	switch {
	case client == nil:
		return nil, errNoAppSecret
	case m.account.Can(account.Media) == serverstatus.No:
		return nil, errNoUploads
	}
	return client, nil
}

// Picture fetches a picture of an answer and gives it to WeChat.
func (m *followersMedia) Picture(ctx context.Context, picture session.File) (string, error) {
	client, err := m.uploads()
	if err != nil {
		return "", err
	}
	file, err := m.fetcher.Fetch(ctx, media.Request{URL: picture.URL, Policy: m.made.Load().policy, MaxBytes: maxPicture, Types: sent})
	if err != nil {
		return "", err //nolint:wrapcheck // its text is safe to log, and says all
	}
	defer file.Release()
	uploaded, err := client.UploadMedia(ctx, api.ImageFile, file.Type, file.Data)
	return uploaded.ID, err //nolint:wrapcheck // as above
}

// Speak has the beginning of a text read out, as much as WeChat plays, and gives the recording to WeChat.
func (m *followersMedia) Speak(ctx context.Context, follower, text string) (string, error) {
	client, err := m.uploads()
	if err != nil {
		return "", err
	}
	words, runes := talk(text), talkRunes
	for range 2 {
		words = beginning(words, runes)
		if words == "" {
			return "", errNoTalk
		}
		speech, err := m.dify.TextToAudio(ctx, follower, words, maxSpeech)
		if err != nil {
			return "", err
		}
		if media.TypeOf(speech[:min(len(speech), 512)]) != "audio/mpeg" {
			return "", errNotMP3
		}
		takes := media.PlayTime(speech)
		if takes > 0 && takes <= longestTalk {
			uploaded, err := client.UploadMedia(ctx, api.VoiceFile, "audio/mpeg", speech)
			return uploaded.ID, err //nolint:wrapcheck // as above
		}
		// A slow speaker: less of the text, in proportion.
		runes = int(float64(utf8.RuneCountInString(words)) * float64(longestTalk) / float64(max(takes, longestTalk)) * 0.9)
	}
	return "", errTalksLong
}

// talk is what is read out of a text: its words, without addresses and what is to be tapped.
func talk(text string) string {
	return strings.TrimSpace(address.ReplaceAllString(anchor.ReplaceAllString(text, "$1"), ""))
}

// beginning is as much of a text as has at most so many runes, to the end of a sentence if there is one.
func beginning(text string, runes int) string {
	if utf8.RuneCountInString(text) <= runes {
		return text
	}
	cut := 0
	for range runes {
		_, size := utf8.DecodeRuneInString(text[cut:])
		cut += size
	}
	text = text[:cut]
	if end := strings.LastIndexAny(text, "。！？!?\n；;"); end > len(text)/3 {
		_, size := utf8.DecodeRuneInString(text[end:])
		return text[:end+size]
	}
	return text
}
