-- Looks for a follower whose turn may be claimed. → milliseconds since 1970; a follower whose lease has run out; one that is
-- ready, if fewer run than may; followers with leases that were not renewed for so long, and the end of the first lease
local ttl, concurrency, unrenewed, keep = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- A silence in which nobody has come through was Redis' own or the network's: it is not held against the holders. Each
-- lease lasts for half its time more, in which whoever is alive renews it. After the clock was set back no lease lasts
-- longer than a new one.
local beat = tonumber(redis.call('HGET', KEYS[3], 'beat') or 0)
if now < beat or now - beat > ttl / 2 then
  local least = now + math.floor(ttl / 2)
  for _, f in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', least)) do redis.call('ZADD', KEYS[2], least, f) end
end
for _, f in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. now + ttl, '+inf')) do redis.call('ZADD', KEYS[2], now + ttl, f) end
redis.call('HSET', KEYS[3], 'beat', now)
for i = 1, 3 do redis.call('PEXPIRE', KEYS[i], keep) end

local orphan = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 1)[1]
local first = redis.call('ZCARD', KEYS[2]) < concurrency and redis.call('ZRANGE', KEYS[1], 0, 0)[1]
local suspects = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now + ttl - unrenewed, 'LIMIT', 0, 100)
return {now, orphan or '', first or '', suspects, redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2] or ''}
