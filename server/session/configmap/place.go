package configmap

import (
	"fmt"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
)

const (
	shardCount = serverconfig.SessionObjects // ConfigMaps of a bot
	blockCount = 32                          // keys of each: what is encoded anew when one follower has changed
)

// Names returns the names of the ConfigMaps that hold the sessions of the store with the given name. They are few and
// always the same, so that a Role can name them and somebody else can create them.
func Names(name string) []string {
	return (&serverconfig.ConfigMap{Name: name}).Objects()
}

// partOf says which block keeps a follower, counted over all shards: a follower of shard n is in a part from
// n*blockCount to before (n+1)*blockCount. It is FNV-1a, and part of the format: changing it strands what is stored.
func partOf(follower string) int {
	const offset, prime = 2166136261, 16777619
	h := uint32(offset)
	for i := range len(follower) {
		h = (h ^ uint32(follower[i])) * prime
	}
	return int(h % (shardCount * blockCount))
}

// blockKey is the key of a shard's nth block.
func blockKey(n int) string { return fmt.Sprintf("records-%02d", n) }

// oldBlockKey is what it was in format 1.
func oldBlockKey(n int) string { return fmt.Sprintf("followers-%02d", n) }
