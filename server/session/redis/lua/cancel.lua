-- Cancels the follower's first open turn, once for each message. → the turn's copy; its ID and the number of the others
-- if it is not there any more; nothing if none was open
local id, openid = ARGV[9], ARGV[10]
local m = message(id)
if m then
  m.deliveries = m.deliveries + 1
  saveMessage(id, m)
  local row = call('HGET', follower, 'U')
  if row then touch(row) end
  if m.stopped == '' then return {} end
  return row and copy(row, m.stopped) or {m.stopped, scan(row or '').untold}
end

local row = admit(openid)
local s = scan(row)
addMessage(row, id, 's', s.head)
keep(s.open > 0)
if not s.head then
  return {}
end
local cancelled = copy(row, s.head)
local t = numbers(cancelled[3])
t.state = CANCELLED
lose()
local code = cancelled[5] and OVER or TOLD
row = ended(row, s.headAt, s.head, t, code)
tellWork()
saveBot()
publish()
cancelled[2], cancelled[3], cancelled[7] = code, written(t), others(row, s.head)
return cancelled
