-- Takes one out of a budget that refills evenly over a window, kept as the time at which it is full again. → whether
-- there was one
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local window, n = tonumber(ARGV[2]), tonumber(ARGV[3])
local full = math.min(tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or 0), now + window)
local left = math.max(full, now) + math.floor(window / n)
local ok = left - now <= window
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', ok and left or full))
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return ok and 1 or 0
