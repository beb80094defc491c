-- Reads a record with some of its texts, or all. → the record, the texts
if #ARGV == 0 then return {redis.call('HGETALL', KEYS[1]), redis.call('HGETALL', KEYS[2])} end
return {redis.call('HGETALL', KEYS[1]), redis.call('HMGET', KEYS[2], unpack(ARGV))}
