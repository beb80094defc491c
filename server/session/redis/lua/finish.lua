-- Ends a turn. → its copy, or 0 if it is not held any more
local id, fence, state, answer, failure, conversation = ARGV[9], ARGV[10], ARGV[11], ARGV[12], ARGV[13], ARGV[14]
if call('HGET', follower, 'L') ~= fence .. ' ' .. id then return 0 end
local v = call('HMGET', follower, 'U', 't' .. id, 'p' .. id)
local row, m, partial = v[1], numbers(v[2]), v[3]
m.state, m.failure = state, failure
if state ~= CANCELLED then partial = false end
if partial then call('HDEL', follower, 'L') else call('HDEL', follower, 'L', 'p' .. id) end
call('ZREM', leases, fh)
call('HSET', follower, 'C', conversation, 'a' .. id, answer)
local code = OVER
if state == CANCELLED and not partial then code = TOLD end
row = ended(row, scan(row, id).at, id, m, code)
tellWork()
saveBot()
publish()
return {id, code, written(m), false, partial, false, others(row, id)}
