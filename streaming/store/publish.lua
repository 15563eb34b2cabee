-- Appends a batch to an agent's stream and publishes it, or says why not. Atomic: a refused event is not published.
-- KEYS[1] stream, which is also the channel's name
-- ARGV    epoch, first seq, last seq the database has, about how many entries to keep, time to live (s), position, payload ...
-- Answers {1, seq}: the stream now ends at our seq. {0, seq}: it ends before the batch: send again from seq + 1.
--         {-1, epoch}: a later epoch has written: the caller is fenced.
--         {-2, 0}: our epoch's barrier is not there: the stream was emptied, and with it went what kept others out.
local epoch, first, committed = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local last = first + #ARGV - 7
local tip_epoch, tip_seq = 0, 0
local tip = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if tip then
  local dash = string.find(tip[1], '-', 1, true)
  tip_epoch, tip_seq = tonumber(string.sub(tip[1], 1, dash - 1)), tonumber(string.sub(tip[1], dash + 1))
end
if tip_epoch > epoch then return {-1, tip_epoch} end
-- A late command of a writer long replaced must not find an open door only because Redis was emptied meanwhile.
if tip_epoch < epoch then return {-2, 0} end
-- What lies before the batch must be in the stream or in the database, or a reader would find a hole.
local behind = math.max(tip_seq, committed)
if behind < first - 1 then return {0, behind} end
if tip_seq >= last then return {1, tip_seq} end
local lines = {}
for seq = math.max(first, tip_seq + 1), last do
  local id = string.format('%d-%d', epoch, seq)
  local payload = ARGV[7 + seq - first]
  -- The position goes with the last event of the batch only: it is true once all of them are in.
  if seq == last then
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[4], id, 'd', payload, 'p', ARGV[6])
  else
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[4], id, 'd', payload)
  end
  lines[#lines + 1] = id .. ' ' .. payload
end
redis.call('EXPIRE', KEYS[1], ARGV[5])
redis.call('PUBLISH', KEYS[1], table.concat(lines, '\n'))
return {1, last}
