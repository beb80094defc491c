package configmap

import (
	"encoding/json"
	"fmt"

	"github.com/wechatbot/wechatbot-operator/server/session/configmap/kubeapi"
	"github.com/wechatbot/wechatbot-operator/server/session/follower"
)

// usedAnnotation is on each shard: what the bot had used on its day when the shard was last written. Whatever uses something
// changes a record, so that the newest of them is right, and no write is made for it alone.
const usedAnnotation = "wechatbot.dev/tokens-used"

func usedAnnotations(t follower.Tally) (map[string]string, error) {
	if t.Tokens == 0 {
		return nil, nil
	}
	value, err := json.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("encoding what was used: %w", err)
	}
	return map[string]string{usedAnnotation: string(value)}, nil
}

// usedIn reads what a shard says of the bot.
func usedIn(m kubeapi.Metadata) (t follower.Tally, err error) {
	value, ok := m.Annotations[usedAnnotation]
	if !ok {
		return t, nil
	}
	if err := json.Unmarshal([]byte(value), &t); err != nil {
		return t, fmt.Errorf("its annotation %s cannot be read, and may be removed: %w", usedAnnotation, err)
	}
	return t, nil
}
