-- Claims the turn that has waited longest, if there is one and a place. → openid, turn, conversation, fence, note, or
-- → the microseconds until the next lease ends, -1 if there is none
local concurrency = tonumber(ARGV[9])
local base = sub(bot, 1, -2)

local moved = false
for _, f in ipairs(call('ZRANGEBYSCORE', leases, '-inf', text(now), 'LIMIT', 0, 100)) do
  fh, follower = f, base .. 'f:' .. f
  local row = call('HGET', follower, 'U')
  call('ZREM', leases, fh)
  if row then
    lose()
    arrange(row)
    moved = true
  end
end

local running = call('ZCARD', leases)
while running < concurrency do
  local first = call('ZRANGE', ready, 0, 0)[1]
  if not first then break end
  fh, follower, messages = first, base .. 'f:' .. first, base .. 'm:' .. first
  local v = call('HMGET', follower, 'U', 'O', 'C', 'L')
  local s = scan(v[1] or '')
  if s.head and not v[4] then
    local fence = number()
    local m = numbers(call('HGET', follower, 't' .. s.head))
    local row = claim(v[1], s.headAt, s.head, m, fence)
    keep(true)
    saveBot()
    if moved and running + 1 < concurrency then tellWork() end
    publish()
    return {v[2], copy(row, s.head), v[3], text(fence), call('HGET', follower, 'n' .. s.head)}
  end
  call('ZREM', ready, fh) -- evicted, or expired in a bot that has stood still for very long
end
publish()
local soonest = call('ZRANGE', leases, 0, 0, 'WITHSCORES')[2]
return soonest and math.max(tonumber(soonest) - now, 0) or -1
