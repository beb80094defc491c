-- Reports on a turn and renews its lease. → whether it is still held
local id, fence, partial, conversation, note = ARGV[9], ARGV[10], ARGV[11], ARGV[12], ARGV[13]
if call('HGET', follower, 'L') ~= fence .. ' ' .. id then return 0 end
if partial == '' then
  call('HDEL', follower, 'p' .. id)
else
  call('HSET', follower, 'p' .. id, partial)
end
if conversation ~= '' then call('HSET', follower, 'C', conversation) end
if note ~= '' then call('HSET', follower, 'n' .. id, note) end
put(leases, text(now + ttl), fh)
if due then keep(true) end
return 1
