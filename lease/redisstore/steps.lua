-- steps.lua: the steps that restore or end a lease or place, and those that change a pool.

local function taken(slots)
  for s in string.gmatch(slots, '%d+') do
    if call('GETBIT', K.slots, s) == 1 then return true end
  end
  return false
end

-- restore: id, request, child, weight, requested limit, token, limit, since, slots. Registers
-- a lease that this server has forgotten or cannot read. While no new job has started it is
-- registered even if its slots seem to be taken: by a holder whose end was forgotten. Later
-- there has to be room for it. Its ticket is dropped, if the server forgot only the grant.
function step.restore(id, text, child, weight, asks, token, limit, since, slots)
  local r = ownRequest(text)
  local h = {
    due = liveness.due(TTL), suspect = 0, ttl = TTL, weight = tonumber(weight), asks = tonumber(asks),
    token = token, limit = limit, since = since, slots = slots,
  }
  if isOver(id) then return late end
  if not held.remove(id) and call('HGET', K.pool, 'run') == server.run then
    local room = rule.smallest(pool.own.limit ~= 0 and pool.own.limit, held.smallestLimit(), h.asks)
    if taken(slots) or room > 0 and pool.sum + h.weight > room then return { 'lost', int(now), server.run } end
  end
  line.drop(id)
  line.unkey(r.key, id)
  held.mark(slots)
  held.add(id, h)
  call('HSET', K.data, id, text)
  call('HDEL', K.data, 'o:' .. id)
  if child ~= '' then call('HSET', K.data, 'c:' .. id, child) end
  call('SADD', K.pools, r.pool)
  if tonumber(token) > num(call('HGET', K.pool, 'token')) then call('HSET', K.pool, 'token', token) end
  return { 'ok', int(now), server.run }
end

-- running: id, child. Records the child of a lease.
function step.running(id, child)
  if call('HEXISTS', K.held, id) == 1 then call('HSET', K.data, 'c:' .. id, child) end
  return { 'ok', int(now), server.run }
end

local UNSEEN = '-' -- stands for the start of a lease of which the caller was not told

-- giveBack ends a lease, and takes back its start, unless that is ''.
local function giveBack(id, start)
  local recorded = start ~= '' and call('HGET', K.data, 'b:' .. id)
  if not held.remove(id) then
    starts.undo(start, true)
    return false
  end
  pool.unsettle()
  starts.undo(recorded or start)
  pool.set('used', int(now))
  return true
end

-- rememberEnd remembers an id that has ended while a step of its own may still be on the way:
-- that step would take slots that no job uses.
local LATE_FOR = 60 * SECOND
local function rememberEnd(id, unsure)
  if unsure ~= '1' then return end
  call('ZREMRANGEBYSCORE', K.gone, '-inf', int(now - LATE_FOR))
  call('ZADD', K.gone, int(now), id)
  call('PEXPIRE', K.gone, int(2 * LATE_FOR / 1000))
end

-- release: id; "" or, if nothing ran, its start as the caller was told it, or "-"; 1 if a
-- step may still be on the way. Gives the slots back.
function step.release(id, start, unsure)
  rememberEnd(id, unsure)
  if giveBack(id, start) then held.forget(id) end
  line.settle()
  return { 'ok', int(now), server.run }
end

-- undo: id; 1 if a step may still be on the way and its caller goes. Gives back what a try
-- took whose answer was lost, unless the caller was told of it by another step since.
function step.undo(id, unsure)
  rememberEnd(id, unsure)
  local start = call('HGET', K.data, 'b:' .. id)
  if start and string.find(start, ' try$') then return step.release(id, UNSEEN) end
  return { 'ok', int(now), server.run }
end

-- leave: id, key, grace; 1 if a step may still be on the way. Gives a place up, or keeps it
-- for the key, and gives back slots that were granted to it.
function step.leave(id, key, grace, unsure)
  local w = line.known(id)
  local stopped = call('HEXISTS', K.data, 's:' .. id) == 1
  pool.unsettle()
  if w and key ~= '' and not stopped then
    line.keep(id, w, tonumber(grace))
    call('HSET', K.data, 't:' .. key, id)
  elseif w then
    line.drop(id)
    held.forget(id)
    line.unkey(key, id)
  end
  if w then pool.set('used', int(now)) end
  local done = step.release(id, UNSEEN, unsure)
  call('DEL', WAKE .. id)
  line.wake(id) -- ends a call that still listens
  call('PEXPIRE', WAKE .. id, 1000)
  return done
end

-- aside: id, 1 or 0, request, number, priority, since. Lets other waiters pass this one, or
-- no longer. A place that was dropped is taken again. With 1, slots that were granted to it
-- without its knowledge are given back.
function step.aside(id, on, text, seq, priority, since)
  if held.known(id) then
    if on == '0' then return { 'ok', int(now), server.run } end
    giveBack(id, UNSEEN)
    call('HDEL', K.data, 'b:' .. id)
    call('DEL', WAKE .. id)
  end
  pool.unsettle()
  local w = line.known(id)
  if not w and isOver(id) then return late end
  if not w or not call('ZSCORE', K.line, id) then
    local r = ownRequest(text)
    r.priority = tonumber(priority)
    line.join(id, text, r, tonumber(seq), since)
    w = line.known(id)
  end
  w.aside, w.ttl, w.suspect = tonumber(on), TTL, 0
  w.due = liveness.due(TTL)
  call('HSET', K.wait, id, line.pack(w))
  return { 'ok', int(now), server.run }
end

-- set: pool, the settings that are expected, and the new ones. Returns again, and the
-- settings that are there, if those are others.
function step.set(name, old, new)
  if pool.text ~= old then return { 'again', int(now), server.run, pool.text } end
  pool.set('set', new)
  pool.set('used', int(now))
  pool.own, pool.text = read.table(new) or {}, new
  call('SADD', K.pools, name)
  pool.unsettle()
  line.settle()
  return { 'ok', int(now), server.run }
end

-- report: what the gates said, as JSON. The time is added here.
function step.report(text)
  pool.set('report', text)
  pool.set('reported', int(now))
  return { 'ok', int(now), server.run }
end

if step[STEP] and STEP ~= 'release' then return done() end
