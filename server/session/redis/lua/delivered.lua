-- Records what a reply has shown of a turn.
local turn, id, receipt, from, seen, sum, told = ARGV[9], ARGV[10], ARGV[11], ARGV[12], ARGV[13], ARGV[14], ARGV[15] == '1'
local v = call('HMGET', follower, 'U', 't' .. turn)
if not v[2] then return 0 end
local row, m = v[1], numbers(v[2])
if call('HEXISTS', messages, id) == 1 then call('HSET', follower, 'r' .. id, receipt) end
if tonumber(from) > tonumber(m.seen) then return 1 end
m.seen, m.sum = seen, sum
call('HSET', follower, 't' .. turn, written(m))
local s = scan(row, turn)
if s.code == OVER and told then
  call('HSET', follower, 'U', mark(row, s.at, TOLD))
  call('ZREM', untold, fh .. turn)
elseif s.code == TOLD and not told then
  call('HSET', follower, 'U', mark(row, s.at, OVER))
  if now - tonumber(m.finished) <= untoldFor then put(untold, m.finished, fh .. turn) end
end
return 1
