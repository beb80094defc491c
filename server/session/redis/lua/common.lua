-- What all scripts share. A script is this file and one of the others behind it. All keys are of one bot and in one
-- slot, so that a script changes everything it has to in one step: nothing is ever half done.
--
-- bot      hash: beat (the time of a late call), stamp (the last number given out), open (turns), hold (allowance)
-- ready    sorted set of followers whose first open turn is held by nobody, by the turn's number
-- leases   sorted set of followers whose first open turn is held, by the end of the lease
-- untold   sorted set of turns that ended lately and are not told, by their end
-- follower hash: O openid, C conversation, S last active, G allowance, U its turns, L the lease; of each turn
--          t its numbers, q question, p partial, a answer, and while it is open n its owners' note, b the call that began it; r receipt of each message
-- messages hash: message → kind, deliveries, second of the first, turn that it stopped
--
-- U is a row of records, oldest turn first: a code, two bytes of length, the turn's ID. Times are microseconds.
local call, byte, char, sub, match = redis.call, string.byte, string.char, string.sub, string.match
local bot, ready, leases, untold, follower, messages = unpack(KEYS)
local fh, ttl, idle, kept, channel = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local history, dedupe, untoldFor = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])

local ACCEPTED, ANSWERING, OVER, TOLD = 'a', 'r', 'o', 't'
local CANCELLED = '5'

local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2]

-- text writes a number that tostring would round.
local function text(n) return string.format('%.0f', n) end

-- What is told to all processes at the end of the script: e a turn that ended, l a lease that was lost, w there is work.
local events = ''

local function tell(kind, what)
  local n = #what
  events = events .. kind .. char((n - n % 256) / 256, n % 256) .. what
end

local function publish()
  if events ~= '' then call('PUBLISH', channel, events) end
end

-- The bot's counters. They follow the clock, so that no number comes back after Redis has lost its last writes.
local counted = call('HMGET', bot, 'beat', 'stamp', 'open')
local beat, stamp, open = tonumber(counted[1] or 0), tonumber(counted[2] or 0), tonumber(counted[3] or 0)

local function number()
  stamp = math.max(stamp + 1, now)
  return stamp
end

-- A silence in which nobody, not even a renewing owner, has come through was Redis' own or the network's: it is not held
-- against the owners. Each lease lasts for half its time more, in which whoever is alive renews it.
if now < beat or now - beat > ttl / 2 then
  local least = text(now + ttl / 2)
  for _, f in ipairs(call('ZRANGEBYSCORE', leases, '-inf', '(' .. least)) do
    call('ZADD', leases, least, f)
  end
end
-- Now and then is enough for what says that the bot is alive.
local due = now < beat or now - beat > ttl / 10
if due then
  call('HSET', bot, 'beat', text(now))
  call('PEXPIRE', bot, kept)
  call('PEXPIRE', ready, kept)
  call('PEXPIRE', leases, kept)
end

local function saveBot() call('HSET', bot, 'stamp', text(stamp), 'open', text(open)) end

-- put adds to one of the bot's sorted sets, which expires with the bot.
local function put(set, score, member)
  if call('ZADD', set, score, member) == 1 and call('ZCARD', set) == 1 then call('PEXPIRE', set, kept) end
end

local function record(code, id)
  local n = #id
  return code .. char((n - n % 256) / 256, n % 256) .. id
end

-- scan counts the turns of a row and finds the first open one (head) and that of an ID (at, code).
local function scan(row, id)
  local s = {open = 0, over = 0, untold = 0}
  local i, n = 1, #row
  while i <= n do
    local hi, lo = byte(row, i + 1, i + 2)
    local code, last = sub(row, i, i), i + 2 + hi * 256 + lo
    if code == ACCEPTED or code == ANSWERING then
      s.open, s.untold = s.open + 1, s.untold + 1
      if not s.head then s.head, s.headAt = sub(row, i + 3, last), i end
    else
      s.over = s.over + 1
      if code == OVER then s.untold = s.untold + 1 end
    end
    if id and last - i - 2 == #id and sub(row, i + 3, last) == id then s.at, s.code = i, code end
    i = last + 1
  end
  return s
end

-- each goes through the records of a row.
local function each(row)
  local i = 1
  return function()
    if i > #row then return nil end
    local at, hi, lo = i, byte(row, i + 1, i + 2)
    i = i + 3 + hi * 256 + lo
    return at, sub(row, at, at), sub(row, at + 3, i - 1)
  end
end

local function mark(row, at, code) return sub(row, 1, at - 1) .. code .. sub(row, at + 1) end

-- others counts the turns but one that are open, or over and not told.
local function others(row, id)
  local s = scan(row, id)
  if s.at and s.code ~= TOLD then return s.untold - 1 end
  return s.untold
end

-- numbers reads what changes of a turn: all of it as text.
local function numbers(t)
  local m = {}
  m.state, m.accepted, m.order, m.attempts, m.finished, m.seen, m.sum, m.failure =
    match(t, '^(%d) (%d+) (%d+) (%d+) (%d+) (%d+) (%w+) (.*)$')
  return m
end

local function written(m)
  return table.concat({m.state, m.accepted, m.order, m.attempts, m.finished, m.seen, m.sum, m.failure}, ' ')
end

-- copy is the turn as the caller gets it; nil if it is not there.
local function copy(row, id)
  local s = scan(row, id)
  if not s.at then return nil end
  local v = call('HMGET', follower, 't' .. id, 'q' .. id, 'p' .. id, 'a' .. id)
  return {id, s.code, v[1], v[2], v[3], v[4], s.untold - (s.code == TOLD and 0 or 1)}
end

-- keep sets how long the follower is kept from now on.
local function keep(isOpen)
  local last = isOpen and kept or idle
  call('PEXPIRE', follower, last)
  call('PEXPIRE', messages, last + dedupe * 1000)
end

-- touch notes that a follower that exists is active.
local function touch(row)
  call('HSET', follower, 'S', text(now))
  keep(scan(row).open > 0)
end

-- message reads the record of a message; nil if it is not known.
local function message(id)
  local m = call('HGET', messages, id)
  if not m then return nil end
  local kind, deliveries, first, stopped = match(m, '^(%a) (%d+) (%d+) (.*)$')
  return {kind = kind, deliveries = tonumber(deliveries), first = first, stopped = stopped}
end

-- receipt is what the reply to a message has shown; nil if nothing, or of a turn that is not there any more.
local function receipt(row, id)
  local r = call('HGET', follower, 'r' .. id)
  return r and scan(row, match(r, '^%S+ %S+ %S+ %S+ %S+ (.*)$')).at and r
end

local function saveMessage(id, m)
  call('HSET', messages, id, m.kind .. ' ' .. m.deliveries .. ' ' .. m.first .. ' ' .. m.stopped)
end

-- trimMessages lets the records of messages go that are many and old, but none whose turn is there.
local function trimMessages(row)
  local some, most = 32, 256
  if call('HLEN', messages) <= 2 * some + history then return end
  local turns = {}
  for _, _, id in each(row) do turns[id] = true end
  local all, past = call('HGETALL', messages), {}
  for i = 1, #all, 2 do
    if not turns[all[i]] then past[#past + 1] = {all[i], tonumber(match(all[i + 1], '^%a %d+ (%d+)'))} end
  end
  table.sort(past, function(a, b) return a[2] < b[2] end)
  for i = 1, #past - some do
    if #past - i < most and clock[1] - past[i][2] <= dedupe then return end
    call('HDEL', messages, past[i][1])
    call('HDEL', follower, 'r' .. past[i][1])
  end
end

-- addMessage records a message at its first delivery.
local function addMessage(row, id, kind, stopped)
  saveMessage(id, {kind = kind, deliveries = 1, first = clock[1], stopped = stopped or ''})
  trimMessages(row)
end

-- admit returns the turns of a follower, who is created if there is nothing of it, and notes that it is active. The
-- caller keeps it.
local function admit(openid)
  local row = call('HGET', follower, 'U')
  if row then
    call('HSET', follower, 'S', text(now))
    return row
  end
  call('HSET', follower, 'O', openid, 'S', text(now), 'U', '')
  return ''
end

-- lose takes the follower's turn from its owner, if it has one.
local function lose()
  local lease = call('HGET', follower, 'L')
  if not lease then return end
  call('HDEL', follower, 'L')
  call('ZREM', leases, fh)
  tell('l', match(lease, '^%d+'))
end

-- arrange puts the follower among the ready or takes it out, after its turns have changed and nobody holds one.
local function arrange(row)
  local s = scan(row)
  if s.head then
    put(ready, numbers(call('HGET', follower, 't' .. s.head)).order, fh)
  else
    call('ZREM', ready, fh)
  end
  return s.open > 0
end

local function tellWork()
  if call('ZCARD', ready) > 0 then tell('w', '') end
end

-- trimHistory lets the turns go that are over and more than are kept: the oldest that is told, else the oldest.
local function trimHistory(row)
  local over = scan(row).over
  while over > history do
    local from, to, id
    for at, code, this in each(row) do
      if code == TOLD or (code == OVER and not from) then
        from, to, id = at, at + 2 + #this, this
        if code == TOLD then break end
      end
    end
    call('HDEL', follower, 't' .. id, 'q' .. id, 'p' .. id, 'a' .. id, 'r' .. id)
    if sub(row, from, from) == OVER then call('ZREM', untold, fh .. id) end
    row = sub(row, 1, from - 1) .. sub(row, to + 1)
    over = over - 1
  end
  return row
end

-- ended takes a turn that has become over and that nobody holds out of work.
local function ended(row, at, id, m, code)
  m.finished = text(now)
  call('HSET', follower, 't' .. id, written(m))
  call('HDEL', follower, 'n' .. id, 'b' .. id)
  row = mark(row, at, code)
  if due then call('ZREMRANGEBYSCORE', untold, '-inf', text(now - untoldFor)) end
  if code == OVER then put(untold, text(now), fh .. id) end
  row = trimHistory(row)
  call('HSET', follower, 'U', row, 'S', text(now))
  keep(arrange(row))
  open = math.max(open - 1, 0)
  tell('e', fh .. id)
  return row
end

-- claim gives the follower's first open turn to whoever asks; fence is the number of its lease.
local function claim(row, at, id, m, fence)
  m.state, m.attempts = '2', m.attempts + 1
  row = mark(row, at, ANSWERING)
  call('HSET', follower, 'U', row, 't' .. id, written(m), 'L', text(fence) .. ' ' .. id)
  call('ZREM', ready, fh)
  put(leases, text(now + ttl), fh)
  return row
end

-- wipe ends the follower's open turns and forgets everything of it; its conversation is returned.
local function wipe(row)
  lose()
  for _, code, id in each(row) do
    if code == ACCEPTED or code == ANSWERING then
      open = math.max(open - 1, 0)
      tell('e', fh .. id)
    elseif code == OVER then
      call('ZREM', untold, fh .. id)
    end
  end
  call('ZREM', ready, fh)
  local conversation = call('HGET', follower, 'C')
  call('UNLINK', follower)
  tellWork()
  return conversation or ''
end

-- spend takes a token out of an allowance of n that refills evenly over a window, kept as the time at which it is full
-- again; false if none is left.
local function spend(fullAt, n, window)
  local at = math.max(fullAt, now) + math.floor(window / n)
  return at - now <= window and at
end
