package desired_test

import (
	"errors"
	"testing"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
)

// What the schema's rules do not see, the server's own check says before there is a server that refuses it.
func TestMenuThatTheServerRefuses(t *testing.T) {
	bot := sample(t, "menu")
	bot.Spec.Menu[1].Name = "营业时间"
	_, err := desired.All(bot, operator, desired.Surroundings{})
	invalid, ok := errors.AsType[*desired.InvalidError](err)
	want := `the webhook server would refuse spec.menu[2].items[1].name: "营业时间" is also the name of menu[1]: a tap in a text says only the name, choose another`
	if !ok || invalid.Reason != v1alpha1.ReasonInvalidSpec || invalid.Message != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
