-- Counts the delivery of a message that asks nothing. → delivery, receipt, the follower's fields
local id, openid = ARGV[9], ARGV[10]
local m, shown = message(id), nil
if m then
  m.deliveries = m.deliveries + 1
  saveMessage(id, m)
  local row = call('HGET', follower, 'U')
  if row then
    touch(row)
    shown = receipt(row, id)
  end
else
  local row = admit(openid)
  addMessage(row, id, 'o')
  keep(scan(row).open > 0)
end
return {m and m.deliveries or 1, shown or false, call('HGETALL', follower)}
