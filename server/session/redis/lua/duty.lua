-- The right to do what is done once for the account. ARGV: what to do (hold, release, note), holder, how long the right
-- lasts, how long the key is kept, note. → whether the holder has the right, the note
local have = redis.call('HMGET', KEYS[1], 'holder', 'until', 'note', 'lasts')
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local mine, ends = have[1] == ARGV[2], tonumber(have[2] or 0)

if ARGV[1] == 'hold' then
  -- After the clock was set back nobody has the right for longer than was asked for.
  if not mine and have[1] and ends > now then
    if ends > now + have[4] then redis.call('HSET', KEYS[1], 'until', now + have[4]) end
    return {0, have[3] or ''}
  end
  redis.call('HSET', KEYS[1], 'holder', ARGV[2], 'until', now + ARGV[3], 'lasts', ARGV[3])
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
  return {1, have[3] or ''}
end
if not mine or ends <= now then return {0, have[3] or ''} end
if ARGV[1] == 'release' then
  redis.call('HDEL', KEYS[1], 'holder', 'until', 'lasts')
else
  redis.call('HSET', KEYS[1], 'note', ARGV[5])
end
return {1, ARGV[5]}
