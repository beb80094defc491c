package server

import (
	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/server/render"
	"github.com/wechatbot/wechatbot-operator/server/session"
)

// Renderer shows answers as WeChat can: it is what turn.Options need. Options are asked for with each text.
type Renderer struct{ Options func() render.Options }

// Text is a whole answer.
func (r Renderer) Text(a session.Answer) string {
	files := make([]render.File, len(a.Files))
	for i, f := range a.Files {
		files[i] = render.File{Name: f.Name, Type: f.Type, URL: f.URL}
	}
	return render.Text(a.Markdown, files, r.Options())
}

// Partial is what can be shown of an answer that still grows.
func (r Renderer) Partial(a session.Answer) string { return render.Partial(a.Markdown, r.Options()) }

// Page is the end of a page, and where the next one starts.
func (Renderer) Page(text string, from, size int) (end, next int) {
	return render.Page(text, from, size)
}

// RenderOptions are what rendering takes of a configuration.
func RenderOptions(c serverconfig.Config) render.Options {
	return render.Options{Origin: c.Dify.BaseURL, FilesOrigin: c.Dify.FilesURL, MenuID: menuID, English: c.Reply.Language == serverconfig.LanguageEnglish}
}
