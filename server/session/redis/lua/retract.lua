-- Cancels a turn if a certain call has begun it and it is still open. → whether it was
local id, begun = ARGV[9], ARGV[10]
local v = call('HMGET', follower, 'U', 'b' .. id, 't' .. id, 'p' .. id, 'L')
local row = v[1]
if not v[2] or match(v[2], '^%S+') ~= begun then return 0 end
local m = numbers(v[3])
m.state = CANCELLED
if v[5] and match(v[5], '^%d+ (.*)$') == id then lose() end
ended(row, scan(row, id).at, id, m, v[4] and OVER or TOLD)
tellWork()
saveBot()
publish()
return 1
