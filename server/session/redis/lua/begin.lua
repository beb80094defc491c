-- Records a question, or counts its delivery. → verdict, delivery, turn, receipt, fence, conversation
-- The same call made twice, as its reply was lost, is one delivery and gives the same.
local id, openid, question, claims = ARGV[9], ARGV[10], ARGV[11], ARGV[12] == '1'
local questions, window = tonumber(ARGV[13]), tonumber(ARGV[14])
local concurrency, queue, most = tonumber(ARGV[15]), tonumber(ARGV[16]), tonumber(ARGV[17])
local this = ARGV[18]
local STARTED, JOINED, GONE, BUSY, IMPATIENT, LIMITED = 1, 2, 3, 4, 5, 6

local have = call('HMGET', follower, 'U', 'G', 'C')
local row, full, conversation = have[1], have[2], have[3]
local m = message(id)
local begun = row and call('HGET', follower, 'b' .. id)
local fence = begun and match(begun, '^' .. this .. ' (%d+)$')
if fence then
  local held = call('HGET', follower, 'L') == fence .. ' ' .. id
  return {STARTED, m.deliveries, copy(row, id), false, held and fence or false, conversation}
end
if m and not (m.kind == 'o' and row) then
  m.deliveries = m.deliveries + 1
  saveMessage(id, m)
  if not row then return {GONE, m.deliveries} end
  touch(row)
  local turn = copy(row, id)
  if not turn then return {GONE, m.deliveries} end
  return {JOINED, m.deliveries, turn, receipt(row, id) or false}
end

local s = scan(row or '')
if questions > 0 then
  -- An allowance that was used up when it refilled more slowly is empty at most.
  local was = math.min(tonumber(full or 0), now + window)
  local left = spend(was, questions, window)
  if not left then
    if was < tonumber(full) then call('HSET', follower, 'G', text(was)) end
    return {LIMITED, 1}
  end
  full = left
end
if s.open >= most then return {IMPATIENT, 1} end
local waiting, running = call('ZCARD', ready), call('ZCARD', leases)
if waiting + running == 0 then open = 0 end -- each open turn is behind one of those: heals a wrong count
claims = claims and s.open == 0 and waiting == 0 and running < concurrency
if not claims and open - running >= queue then return {BUSY, 1} end

local order = number()
open = open + 1
local code, lease = ACCEPTED, false
local t = {state = '1', accepted = text(now), order = text(order), attempts = 0, finished = '0', seen = '0', sum = '0', failure = ''}
if claims then
  code, lease, t.state, t.attempts = ANSWERING, text(order), '2', 1
  call('HSET', follower, 'L', lease .. ' ' .. id)
  put(leases, text(now + ttl), fh)
elseif s.open == 0 then
  put(ready, t.order, fh)
  if running < concurrency then tell('w', '') end
end
row = (row or '') .. record(code, id)
call('HSET', follower, 'O', openid, 'S', text(now), 'U', row, 'q' .. id, question, 't' .. id, written(t),
  'b' .. id, this .. ' ' .. (lease or '0'))
if full then call('HSET', follower, 'G', text(full)) end
if m then
  m.kind, m.deliveries = 'q', m.deliveries + 1
  saveMessage(id, m)
else
  addMessage(row, id, 'q')
end
keep(true)
saveBot()
publish()
return {STARTED, m and m.deliveries or 1, {id, code, written(t), false, false, false, s.untold}, false, lease, conversation}
