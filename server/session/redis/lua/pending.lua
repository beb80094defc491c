-- Counts what would be left behind. → open turns, turns that ended lately and are not told
if call('ZCARD', ready) + call('ZCARD', leases) == 0 then open = 0 end
return {open, call('ZCOUNT', untold, text(now - untoldFor), '+inf')}
