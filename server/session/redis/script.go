package redis

import (
	"context"
	"crypto/sha256"
	_ "embed" // for the scripts
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

var (
	//go:embed lua/common.lua
	commonLua string
	//go:embed lua/begin.lua
	beginLua string
	//go:embed lua/retract.lua
	retractLua string
	//go:embed lua/next.lua
	nextLua string
	//go:embed lua/progress.lua
	progressLua string
	//go:embed lua/finish.lua
	finishLua string
	//go:embed lua/release.lua
	releaseLua string
	//go:embed lua/open.lua
	openLua string
	//go:embed lua/delivered.lua
	deliveredLua string
	//go:embed lua/cancel.lua
	cancelLua string
	//go:embed lua/clear.lua
	clearLua string
	//go:embed lua/forget.lua
	forgetLua string
	//go:embed lua/hold.lua
	holdLua string
	//go:embed lua/pending.lua
	pendingLua string
)

// script is what Redis does in one step. It is sent in full only when Redis does not have it yet, or any more.
type script struct {
	doing string // for errors
	*redis.Script
}

func newScript(doing, lua string) script {
	return script{doing, redis.NewScript(commonLua + lua)}
}

var (
	beginScript     = newScript("recording a question", beginLua)
	retractScript   = newScript("taking a question back", retractLua)
	nextScript      = newScript("claiming a turn", nextLua)
	progressScript  = newScript("writing progress", progressLua)
	finishScript    = newScript("ending a turn", finishLua)
	releaseScript   = newScript("giving a turn back", releaseLua)
	openScript      = newScript("recording a message", openLua)
	deliveredScript = newScript("recording a reply", deliveredLua)
	cancelScript    = newScript("cancelling a turn", cancelLua)
	clearScript     = newScript("clearing a session", clearLua)
	forgetScript    = newScript("forgetting a follower", forgetLua)
	holdScript      = newScript("taking a hold", holdLua)
	pendingScript   = newScript("counting what is pending", pendingLua)
)

// follower is how Redis knows a follower: a hash, for which an openid is too random to be guessed.
func follower(openid string) string {
	sum := sha256.Sum256([]byte(openid))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

func (s *Store) followerKey(fh string) string { return s.prefix + "f:" + fh }

// run runs a script on a follower, or on the bot if there is none.
func (s *Store) run(ctx context.Context, sc script, fh string, args ...any) (any, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", sc.doing, err)
	}
	keys := s.bot
	if fh != "" {
		keys = append(make([]string, 0, len(s.bot)+2), s.bot...)
		keys = append(keys, s.followerKey(fh), s.prefix+"m:"+fh)
	}
	all := append(make([]any, 0, 1+len(s.common)+len(args)), fh)
	all = append(append(all, s.common...), args...)
	ctx, cancel := s.timed(ctx)
	defer cancel()
	v, err := sc.Run(ctx, s.client, keys, all...).Result()
	return v, explain(sc.doing, err)
}

// runMessage runs a script that records a message.
func (s *Store) runMessage(ctx context.Context, sc script, k session.Key, args ...any) (any, error) {
	if len(k.ID) > maxID {
		return nil, fmt.Errorf("%s: an ID of %d bytes is too long", sc.doing, len(k.ID))
	}
	all := append(make([]any, 0, 2+len(args)), k.ID, k.Follower)
	return s.run(ctx, sc, follower(k.Follower), append(all, args...)...)
}

// runList runs a script that records a message and returns a list.
func (s *Store) runList(ctx context.Context, sc script, k session.Key, args ...any) (list, error) {
	v, err := s.runMessage(ctx, sc, k, args...)
	if err != nil {
		return nil, err
	}
	return asList(sc, v)
}

const unreachableSentinels = "all sentinels specified in configuration are unreachable"

// hints say what to do about errors that do not go away by themselves; the first that fits.
var hints = []struct{ sign, hint string }{
	{unreachableSentinels + ": NOAUTH", "the sentinels want a password of their own, and none is configured"},
	{unreachableSentinels + ": WRONGPASS", "the sentinels' user name or password is wrong"},
	{unreachableSentinels, "no sentinel answers, or none knows the master by this name"},
	{"WRONGPASS", "the user name or password is wrong"},
	{"NOAUTH", "Redis wants a password, and none is configured"},
	{"NOPERM", "the Redis user must be allowed all commands on keys wechatbot:* and channels wechatbot:*"},
	{"OOM ", "Redis has no memory left: raise maxmemory"},
	{"MISCONF", "Redis cannot write to its disk"},
	{"unknown command", "this Redis is too old or not complete"},
	{"cluster support disabled", "Redis is no cluster: set mode Standalone or Sentinel"},
	{"MOVED ", "Redis is a cluster: set mode Cluster"},
}

// explain wraps an error with what was being done and, if it can be told, what to do about it.
func explain(doing string, err error) error {
	if err == nil {
		return nil
	}
	for _, h := range hints {
		if strings.Contains(err.Error(), h.sign) {
			return fmt.Errorf("%s: %s: %w", doing, h.hint, err)
		}
	}
	return fmt.Errorf("%s: %w", doing, err)
}
