-- Deletes everything of a follower. What is left of its messages, for a while, says only that they are known.
-- → the conversation
local row = call('HGET', follower, 'U')
local all = call('HGETALL', messages)
local conversation = wipe(row or '')
call('UNLINK', messages)
local buried = false
for i = 1, #all, 2 do
  local deliveries, first = match(all[i + 1], '^%a (%d+) (%d+)')
  if clock[1] - first <= dedupe then
    call('HSET', messages, all[i], 'x ' .. deliveries .. ' ' .. first .. ' ')
    buried = true
  end
end
if buried then call('PEXPIRE', messages, dedupe * 1000) end
saveBot()
publish()
return conversation
