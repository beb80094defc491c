-- Forgets the follower's turns and conversation, once for each message. → the conversation
local id, openid = ARGV[9], ARGV[10]
local m = message(id)
if m then
  m.deliveries = m.deliveries + 1
  saveMessage(id, m)
  local row = call('HGET', follower, 'U')
  if row then touch(row) end
  return ''
end

local had = call('HMGET', follower, 'U', 'G')
local conversation = wipe(had[1] or '')
admit(openid)
if had[2] then call('HSET', follower, 'G', had[2]) end
addMessage('', id, 'c')
keep(false)
saveBot()
publish()
return conversation
