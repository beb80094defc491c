-- Renews the leases of followers whose records still say so. KEYS: leases, bot, records. ARGV: ttl, and of each record the
-- follower and the lease. → the places, from 1, of those that are lost
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('HSET', KEYS[2], 'beat', now)
local lost = {}
for i = 3, #KEYS do
  if redis.call('HGET', KEYS[i], 'l') == ARGV[2 * i - 3] then
    redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[2 * i - 4])
  else
    lost[#lost + 1] = i - 2
  end
end
return lost
