package server

import (
	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/server/turn"
)

// keywords are what the engine looks for in messages.
func keywords(all []serverconfig.Keyword) []turn.Keyword {
	matches := map[serverconfig.KeywordMatch]turn.Match{
		serverconfig.MatchPrefix: turn.Prefix, serverconfig.MatchContains: turn.Contains, // any other is exact
	}
	var taken []turn.Keyword
	for _, k := range all {
		taken = append(taken, turn.Keyword{
			Words: k.Words, Match: matches[k.Match], Question: k.Question, Reply: k.Reply, Command: k.Command,
			Handover: k.Handover,
		})
	}
	return taken
}
