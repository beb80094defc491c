-- Changes one follower's hashes, and where they are found, if one of their fields is as expected and the bot's totals
-- allow it. → what came of it, seconds, microseconds, and: the record as it is (CONFLICT); running, ready, open (FULL)
local DONE, CONFLICT, FULL = 0, 1, 2
local call, now = redis.call, redis.call('TIME')
local have = call('HGET', KEYS[1], ARGV[1]) or ''
if have ~= ARGV[2] then
  if have == ARGV[3] then return {DONE, now[1], now[2]} end -- this very call was made before, and its reply was lost
  return {CONFLICT, now[1], now[2], call('HGETALL', KEYS[1])}
end

if ARGV[7] ~= '' then
  local running, waiting = call('ZCARD', KEYS[4]), call('ZCARD', KEYS[3])
  local open = tonumber(call('HGET', KEYS[5], 'open') or 0)
  if running + waiting == 0 and open ~= 0 then -- each open turn is behind one of those: a count that was lost heals
    open = 0
    call('HSET', KEYS[5], 'open', 0)
  end
  local most, queue = tonumber(ARGV[7]), tonumber(ARGV[9])
  if most > 0 and running >= most or ARGV[8] == '1' and waiting > 0 or queue > 0 and open - running >= queue then
    return {FULL, now[1], now[2], running, waiting, open}
  end
end

-- The rest of ARGV: so many fields and values of the record and of the texts, then so many fields that go.
local from, to = 18, 17 + ARGV[14]
if to >= from then call('HSET', KEYS[1], unpack(ARGV, from, to)) end
from, to = to + 1, to + ARGV[15]
if to >= from then call('HDEL', KEYS[1], unpack(ARGV, from, to)) end
from, to = to + 1, to + ARGV[16]
if to >= from then call('HSET', KEYS[2], unpack(ARGV, from, to)) end
from, to = to + 1, to + ARGV[17]
if to >= from then call('HDEL', KEYS[2], unpack(ARGV, from, to)) end
if ARGV[11] ~= '' then
  call('PEXPIRE', KEYS[1], ARGV[11])
  call('PEXPIRE', KEYS[2], ARGV[11])
end
if ARGV[5] == 'no' then call('ZREM', KEYS[3], ARGV[4]) elseif ARGV[5] ~= '' then call('ZADD', KEYS[3], ARGV[5], ARGV[4]) end
if ARGV[6] == 'no' then
  call('ZREM', KEYS[4], ARGV[4])
elseif ARGV[6] ~= '' then
  call('ZADD', KEYS[4], now[1] * 1000 + math.floor(now[2] / 1000) + ARGV[6], ARGV[4])
end
if ARGV[10] ~= '0' then call('HINCRBY', KEYS[5], 'open', ARGV[10]) end
if ARGV[13] ~= '' then call('PUBLISH', ARGV[12], ARGV[13]) end
return {DONE, now[1], now[2]}
