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
	//go:embed lua/commit.lua
	commitLua string
	//go:embed lua/view.lua
	viewLua string
	//go:embed lua/candidate.lua
	candidateLua string
	//go:embed lua/renew.lua
	renewLua string
	//go:embed lua/take.lua
	takeLua string
	//go:embed lua/duty.lua
	dutyLua string
)

// What Redis does in one step. All keys are named by KEYS[i] in place, and none is made of a value: proxies of clouds
// that look for keys in scripts take nothing else.
var (
	commitScript    = redis.NewScript(commitLua)
	viewScript      = redis.NewScript(viewLua)
	candidateScript = redis.NewScript(candidateLua)
	renewScript     = redis.NewScript(renewLua)
	takeScript      = redis.NewScript(takeLua)
	dutyScript      = redis.NewScript(dutyLua)
)

// memberOf is how Redis knows a follower: a hash, for which an openid is too random to be guessed.
func memberOf(openid string) string {
	sum := sha256.Sum256([]byte(openid))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// keys are those of one bot: everything of it is in one hash slot, {bot}.
type keys struct{ prefix, ready, leases, bot, duty, events string }

func keysOf(bot string) keys {
	// The layout's number: an older server's keys are another's.
	prefix := "wechatbot:2:{" + bot + "}:"
	return keys{
		prefix: prefix, ready: prefix + "ready", leases: prefix + "leases", bot: prefix + "bot", duty: prefix + "duty",
		events: prefix + "events",
	}
}

func (k *keys) record(member string) string { return k.prefix + "f:" + member }
func (k *keys) texts(member string) string  { return k.prefix + "t:" + member }
func (k *keys) used(member string) string   { return k.prefix + "u:" + member }

// presence is the channel that a process is subscribed to as long as it is there.
func (k *keys) presence(process string) string { return k.prefix + "p:" + process }

// run runs a script, together with what others run at the same time. It does not end with the caller, who may only have
// stopped waiting: what Redis has done for a call, such as giving a turn to this process, has to be heard.
func (p *Port) run(ctx context.Context, doing string, sc *redis.Script, keys []string, args ...any) (reply, error) {
	ctx, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer context.AfterFunc(p.life, func() { end(session.ErrClosed) })() //nolint:contextcheck // the port's life, beside the call's
	ctx, cancel := context.WithTimeout(ctx, p.call)
	defer cancel()
	v, err := p.batch.run(ctx, sc, keys, args)
	if err != nil {
		return nil, explain(doing, err)
	}
	l, ok := v.([]any)
	if !ok {
		return reply{v}, nil
	}
	return l, nil
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
	{"The user executing the script can't", "the Redis user must be allowed TIME, HSET, ZADD, PUBLISH and what else the scripts call: +@all on keys wechatbot:* and channels wechatbot:*"},
	{"No permissions to access a channel", "the Redis user must be allowed channels wechatbot:*"},
	{"in script: ACL", "the Redis user must be allowed all commands on keys wechatbot:* and channels wechatbot:*"},
	{"bad lua script for redis cluster", "the proxy before Redis refuses scripts: set script_check_enable to 0 (Aliyun), or connect to Redis directly"},
	{"not support for normal user", "this Redis refuses EVAL and EVALSHA: allow scripts, or use another Redis"},
	{"command eval", "this Redis refuses EVAL and EVALSHA: allow scripts, or use another Redis"},
	{"OOM ", "Redis has no memory left: raise maxmemory"},
	{"MISCONF", "Redis cannot write to its disk"},
	{"unknown command", "this Redis is too old or not complete: it needs HELLO or AUTH, EVAL, EVALSHA, PUBLISH and SUBSCRIBE"},
	{"cluster support disabled", "Redis is no cluster: set mode Standalone or Sentinel"},
	{"MOVED ", "Redis is a cluster: set mode Cluster"},
	{"server gave HTTP response", "something else than Redis is at this address"},
	{"first record does not look like a TLS handshake", "Redis speaks no TLS at this address"},
	{"certificate signed by unknown authority", "Redis' certificate is not signed by a known authority: give the CA's certificate"},
	{"EOF", "the connection was closed at once: Redis may want TLS, or a proxy may refuse the first command, HELLO"},
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
