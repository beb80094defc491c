package turn

import (
	"strings"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// betweenLinks stands between two links of a line.
const betweenLinks = "　"

// onward are the links at the end of a page that is not a turn's last.
func (e *Engine) onward(s *Settings, t session.Turn, number string) string {
	more := s.more
	if number != "" {
		more = e.moreLink(s, number)
	}
	if whole := e.wholeLink(s, t); whole != "" {
		return more + betweenLinks + whole
	}
	return more
}

// wholeLink leads to where the whole answer can be read of a turn that is over; "" if nowhere.
func (e *Engine) wholeLink(s *Settings, t session.Turn) string {
	if e.WholeLink == nil || !t.State.Over() {
		return ""
	}
	return e.WholeLink(s.Texts.get(TextFullAnswer), t.Key, t.FinishedAt)
}

// Ending is what is said at the end of a turn's text if the text alone does not say it all, for where there are no links.
func (e *Engine) Ending(t session.Turn) string {
	s := e.settings.Load()
	switch {
	case t.State == session.Cancelled:
		return s.Texts.get(TextStopped)
	case t.Failure == "":
		return ""
	case Failure(t.Failure) == FormOpen:
		return actionTitles(s, t)
	}
	words := strings.NewReplacer("{{1}}", s.ContinueWords[0], "{{stop}}", Stop, "{{clear}}", Clear)
	return words.Replace(s.Texts.get(failureText(t.Failure, e.text(t))))
}

// MessageID is what Dify calls a turn's answer; "" if it has not said.
func MessageID(t session.Turn) string { return parseReference(t.Ref).message }
