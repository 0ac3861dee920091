-- server.lua: begins the recovery hold-off when this server may have forgotten holders.
--
-- State can be lost with the process of the server: another one may have started without the
-- last of it, or all (no persistence, or a lagging replica was promoted). During the hold-off
-- no new job starts, and holders that were forgotten register again with their next
-- heartbeat. INFO is read at every step: a loss that is noticed later would be noticed after
-- a start. Two histories (replid) tell the processes apart: one that starts, or becomes a
-- master, has a new one. A master gets a new one also when its first replica attaches; but
-- then it has no earlier history (replid2), and has lost nothing.
local epoch = call('HMGET', K.epoch, 'run', 'at', 'name', 'history', 'floor', 'checked', 'policy', 'new')
local copies = call('INFO', 'replication')
local history = string.match(copies, 'master_replid:(%x+)')
if not epoch[1] or epoch[4] ~= history then
  local run = string.match(call('INFO', 'server'), 'run_id:(%x+)')
  if epoch[1] ~= run or epoch[4] and not string.find(copies, 'master_replid2:0+%s') then
    epoch[8] = epoch[1] and '' or '1'
    epoch[1], epoch[2], epoch[3] = run, int(now), int(now)
    call('HSET', K.epoch, 'run', run, 'at', epoch[2], 'name', epoch[3], 'new', epoch[8])
  end
  call('HSET', K.epoch, 'history', history)
end
-- ?fresh=1 ends the hold-off of a server on which no holder has been registered yet. Only a
-- caller that wants slots may say so, not one that registers the slots it has.
local wantsSlots = STEP == 'try' or STEP == 'line' or STEP == 'turn' or STEP == 'adopt'
if wantsSlots and ARGV[8] == '1' and epoch[8] == '1' and epoch[2] ~= '0' then
  epoch[2] = '0'
  call('HSET', K.epoch, 'at', '0')
end
if num(epoch[2]) > now then -- the clock was set back
  epoch[2] = int(now)
  call('HSET', K.epoch, 'at', epoch[2])
end
local server = {
  forgotten = num(epoch[2]), -- since when
  run = epoch[1] .. '.' .. (epoch[3] or ''), -- FLUSHALL loses the state of a process that goes on
  floor = num(epoch[5]), -- the highest token of all pools that are gone
}

-- A server that evicts keys when it is full forgets holders.
if not READS and (math.abs(now - num(epoch[6])) > 60 * SECOND or (epoch[7] or '') ~= '') then
  local info = call('INFO', 'memory')
  local limit, policy = string.match(info, 'maxmemory:(%d+)'), string.match(info, 'maxmemory_policy:(%S+)')
  epoch[7] = limit ~= '0' and policy ~= 'noeviction' and policy or ''
  call('HSET', K.epoch, 'checked', int(now), 'policy', epoch[7])
end
if epoch[7] and epoch[7] ~= '' then note('evicts', epoch[7], '') end

-- markUsed is called when a holder is registered: from now on the server can forget one.
function server.markUsed()
  if epoch[8] == '1' then call('HSET', K.epoch, 'new', '') end
  epoch[8] = ''
end
