-- Bars every earlier epoch from an agent's stream. KEYS[1] stream; ARGV epoch, time to live (s).
-- Answers 1, or 0 if a later epoch has been here.
local tip = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if tip then
  local tip_epoch = tonumber(string.sub(tip[1], 1, string.find(tip[1], '-', 1, true) - 1))
  if tip_epoch > tonumber(ARGV[1]) then return 0 end
  if tip_epoch == tonumber(ARGV[1]) then return 1 end
end
redis.call('XADD', KEYS[1], ARGV[1] .. '-0', 'f', '1')
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
