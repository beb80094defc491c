package memory

import (
	"strconv"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session/follower"
)

// Whoever has used most is known, however many others there are; and the bytes are those of who is known.
func TestUsed_OfVeryManyFollowers(t *testing.T) {
	now := follower.At(time.Now())
	until := follower.At(time.Now().Add(time.Hour))
	var u used
	u.add("greedy", now, follower.Spent{Tokens: 1e6, Until: until, Each: true})
	for i := range 3 * maxUsers {
		u.add(strconv.Itoa(i), now, follower.Spent{Tokens: int64(i%100) + 1, Until: until, Each: true})
	}
	if len(u.each) > maxUsers {
		t.Errorf("%d followers are known, want %d at most", len(u.each), maxUsers)
	}
	if _, one := u.of("greedy", now); one != 1e6 {
		t.Errorf("who has used most has used %d", one)
	}
	var bytes int64
	for openid := range u.each {
		bytes += userWeight + int64(len(openid))
	}
	if u.bytes != bytes {
		t.Errorf("%d bytes are booked, want %d", u.bytes, bytes)
	}
	u.add("other", until, follower.Spent{Tokens: 1, Until: until + 1e6, Each: true})
	if len(u.each) != 1 || u.bytes != userWeight+5 || u.bot.Tokens != 1 {
		t.Errorf("on the next day %d followers and %d bytes are left of %+v", len(u.each), u.bytes, u.bot)
	}
}
