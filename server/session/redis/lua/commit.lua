-- Keeps a step on one follower's record, if one of its fields is as expected and the bot's totals allow it.
-- KEYS: record, texts, leases, bot, ready, used; without the last ones if no act needs them.
-- ARGV: the field, what it has to be and what it is then; 1 if the time is needed; and acts: the name of each, how many
-- arguments it has, and those.
-- → what came of it; the record as it is (CONFLICT); seconds and microseconds if the time is needed (DONE, FULL), and running,
-- ready, open, tokens used today by the bot and by the follower (FULL)
local DONE, CONFLICT, FULL = 0, 1, 2
local LONGEST_DAY = 26 * 3600 * 1000
local call = redis.call
local have = call('HGET', KEYS[1], ARGV[1]) or ''
if have ~= ARGV[2] then
  if have == ARGV[3] then return {DONE} end -- this very call was made before, and its reply was lost
  return {CONFLICT, call('HGETALL', KEYS[1])}
end
local now = ARGV[4] == '1' and call('TIME') or {}
local millis = now[1] and now[1] * 1000 + math.floor(now[2] / 1000)

-- How many tokens were used on the day that lasts; nil if none does.
local function tokens()
  local of = call('HMGET', KEYS[4], 'tokens', 'tokensUntil')
  local left = tonumber(of[2] or 0) - millis
  return left > 0 and left <= LONGEST_DAY and tonumber(of[1] or 0) or nil
end

local at = 5
while ARGV[at] do
  local act, from, last = ARGV[at], at + 2, at + 1 + ARGV[at + 1]
  if act == 'set' then
    call('HSET', KEYS[1], unpack(ARGV, from, last))
  elseif act == 'setTexts' then
    call('HSET', KEYS[2], unpack(ARGV, from, last))
  elseif act == 'unset' then
    call('HDEL', KEYS[1], unpack(ARGV, from, last))
  elseif act == 'unsetTexts' then
    call('HDEL', KEYS[2], unpack(ARGV, from, last))
  elseif act == 'keep' then
    call('PEXPIRE', KEYS[1], ARGV[from])
    call('PEXPIRE', KEYS[2], ARGV[from])
  elseif act == 'lease' then -- for so many milliseconds
    call('ZADD', KEYS[3], millis + ARGV[from], ARGV[last])
  elseif act == 'unlease' then
    call('ZREM', KEYS[3], ARGV[from])
  elseif act == 'ready' then
    call('ZADD', KEYS[5], ARGV[from], ARGV[last])
  elseif act == 'unready' then
    call('ZREM', KEYS[5], ARGV[from])
  elseif act == 'open' then
    call('HINCRBY', KEYS[4], 'open', ARGV[from])
  elseif act == 'publish' then
    call('PUBLISH', ARGV[from], ARGV[last])
  elseif act == 'tokens' then -- so many are counted until a time, of the follower too if it is asked for
    local n, ends, each = unpack(ARGV, from, last)
    if tokens() then
      call('HINCRBY', KEYS[4], 'tokens', n)
    else
      call('HSET', KEYS[4], 'tokens', n, 'tokensUntil', ends)
    end
    if each == '1' then
      call('INCRBY', KEYS[6], n)
      if call('PTTL', KEYS[6]) < 0 then call('PEXPIREAT', KEYS[6], ends) end
    end
  elseif act == 'room' then -- comes first: so many may run and wait, somebody who waits comes first, so many tokens
    local most, queue, first, opened, budget, each = unpack(ARGV, from, last)
    most, queue, budget, each = tonumber(most), tonumber(queue), tonumber(budget), tonumber(each)
    local running, waiting = call('ZCARD', KEYS[3]), call('ZCARD', KEYS[5])
    local open = call('HINCRBY', KEYS[4], 'open', opened) - opened
    if running + waiting == 0 and open ~= 0 then -- each open turn is behind one of those: a count that was lost heals
      open = 0
      call('HSET', KEYS[4], 'open', opened)
    end
    local used = budget > 0 and tokens() or 0
    local own = each > 0 and tonumber(call('GET', KEYS[6]) or 0) or 0
    if most > 0 and running >= most or first == '1' and waiting > 0 or queue > 0 and open - running >= queue
        or budget > 0 and used >= budget or each > 0 and own >= each then
      call('HSET', KEYS[4], 'open', open)
      return {FULL, now[1], now[2], running, waiting, open, used, own}
    end
  end
  at = last + 1
end
return {DONE, now[1], now[2]}
