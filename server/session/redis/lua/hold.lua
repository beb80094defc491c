-- Takes a hold out of the bot's budget. → whether there was one
local full = spend(tonumber(call('HGET', bot, 'hold') or 0), tonumber(ARGV[9]), 60000000)
if not full then return 0 end
call('HSET', bot, 'hold', text(full))
call('PEXPIRE', bot, kept)
return 1
