-- Gives a turn back. → whether it was still held
local id, fence = ARGV[9], ARGV[10]
if call('HGET', follower, 'L') ~= fence .. ' ' .. id then return 0 end
call('HDEL', follower, 'L')
call('ZREM', leases, fh)
arrange(call('HGET', follower, 'U'))
tellWork()
publish()
return 1
