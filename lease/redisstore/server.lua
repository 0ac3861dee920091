-- The state is as good as this process of the server: another one may have lost the
-- last of it, or all (no persistence, a lagging replica was promoted). Holders that
-- were forgotten register again with their next heartbeat; nobody new starts meanwhile.
-- It is read at every step, for else nobody would wait for a loss in between. A process that
-- starts, or becomes a master, has another history (replid) than before.
-- So has one that the first replica attaches to, but that one remembers no history from
-- before (replid2), and has lost nothing.
local epoch = call('HMGET', K.epoch, 'run', 'at', 'name', 'history', 'floor', 'checked', 'policy')
local copies = call('INFO', 'replication')
local history = string.match(copies, 'master_replid:(%x+)')
if not epoch[1] or epoch[4] ~= history then
  local run = string.match(call('INFO', 'server'), 'run_id:(%x+)')
  if epoch[1] ~= run or epoch[4] and not string.find(copies, 'master_replid2:0+%s') then
    epoch[2] = int((ARGV[8] == '1' and not epoch[1]) and 0 or now)
    epoch[1], epoch[3] = run, int(now)
    call('HSET', K.epoch, 'run', run, 'at', epoch[2], 'name', epoch[3])
  end
  call('HSET', K.epoch, 'history', history)
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

-- A server that throws keys away when it is full forgets holders.
if not READS and math.abs(now - num(epoch[6])) > 60 * SECOND then
  local info = call('INFO', 'memory')
  local most, policy = string.match(info, 'maxmemory:(%d+)'), string.match(info, 'maxmemory_policy:(%S+)')
  epoch[7] = most ~= '0' and policy ~= 'noeviction' and policy or ''
  call('HSET', K.epoch, 'checked', int(now), 'policy', epoch[7])
end
if epoch[7] and epoch[7] ~= '' then note('evicts', epoch[7], '') end
