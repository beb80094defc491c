package turn_test

import (
	"testing"
	"testing/synctest"

	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

// Without what the links need of the front, there are none, and the letters are words to the app.
func TestRating_NotOffered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{simmed: simmed(difysim.Behaviour{Length: 80}), settings: func(s *turn.Settings) { s.Feedback = true }})
		f := b.follower("alice")
		f.Send(ask).want(t, turn.Answer, echo(ask, 80))
		f.Send("👍").want(t, turn.Answer, echo("👍", 80))
		b.calls(2)
	})
}
