-- Changes one follower's hashes, and where they are found, if one of their fields is as expected and the bot's totals
-- allow it. → what came of it, seconds, microseconds, and: the record as it is (CONFLICT); running, ready, open, tokens used
-- today by the bot and by the follower (FULL)
local DONE, CONFLICT, FULL = 0, 1, 2
local LONGEST_DAY = 26 * 3600 * 1000
local call, now = redis.call, redis.call('TIME')
local have = call('HGET', KEYS[1], ARGV[1]) or ''
if have ~= ARGV[2] then
  if have == ARGV[3] then return {DONE, now[1], now[2]} end -- this very call was made before, and its reply was lost
  return {CONFLICT, now[1], now[2], call('HGETALL', KEYS[1])}
end

-- Whether the day lasts on which tokens are counted.
local function lasting()
  local left = tonumber(call('HGET', KEYS[5], 'tokensUntil') or 0) - (now[1] * 1000 + math.floor(now[2] / 1000))
  return left > 0 and left <= LONGEST_DAY
end

if ARGV[7] ~= '' then
  local running, waiting = call('ZCARD', KEYS[4]), call('ZCARD', KEYS[3])
  local open = tonumber(call('HGET', KEYS[5], 'open') or 0)
  if running + waiting == 0 and open ~= 0 then -- each open turn is behind one of those: a count that was lost heals
    open = 0
    call('HSET', KEYS[5], 'open', 0)
  end
  local most, queue = tonumber(ARGV[7]), tonumber(ARGV[9])
  local budget, each = tonumber(ARGV[18]), tonumber(ARGV[19])
  local used = budget > 0 and lasting() and tonumber(call('HGET', KEYS[5], 'tokens') or 0) or 0
  local own = each > 0 and tonumber(call('GET', KEYS[6]) or 0) or 0
  if most > 0 and running >= most or ARGV[8] == '1' and waiting > 0 or queue > 0 and open - running >= queue
      or budget > 0 and used >= budget or each > 0 and own >= each then
    return {FULL, now[1], now[2], running, waiting, open, used, own}
  end
end

if ARGV[20] ~= '0' then -- tokens to be counted until the day ends, of the follower too if it is asked for
  if lasting() then
    call('HINCRBY', KEYS[5], 'tokens', ARGV[20])
  else
    call('HSET', KEYS[5], 'tokens', ARGV[20], 'tokensUntil', ARGV[21])
  end
  if ARGV[22] == '1' then
    call('INCRBY', KEYS[6], ARGV[20])
    if call('PTTL', KEYS[6]) < 0 then call('PEXPIREAT', KEYS[6], ARGV[21]) end
  end
end

-- The rest of ARGV: so many fields and values of the record and of the texts, then so many fields that go.
local from, to = 23, 22 + ARGV[14]
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
