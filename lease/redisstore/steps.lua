-- The steps of who has something, or gives it up.

local function taken(slots)
  for s in string.gmatch(slots, '%d+') do
    if call('GETBIT', K.slots, s) == 1 then return true end
  end
  return false
end

-- restore: id, request, child, weight, asks, token, limit, since, slots. Registers a
-- lease that this server has forgotten or cannot read: as long as nobody new was let in, or
-- if there is room for it. Before that, who seems to have its slots may be one whose end was
-- forgotten. The server may also have forgotten that it had its turn in the line.
function step.restore(id, text, child, weight, asks, token, limit, since, slots)
  local r = ownRequest(text)
  local h = {
    due = life.due(TTL), suspect = 0, ttl = TTL, weight = tonumber(weight), asks = tonumber(asks),
    token = token, limit = limit, since = since, slots = slots,
  }
  if isOver(id) then return late end
  if not held.remove(id) and call('HGET', K.pool, 'run') == server.run then
    local room = rule.smallest(pool.own.limit ~= 0 and pool.own.limit, held.asked(), h.asks)
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

local UNSEEN = '-' -- the start of a lease that nobody was told of

-- giveBack ends a lease: its slots are free, and its start has not been, if there is one.
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

-- ended remembers an id that has ended while a step of its own may still be on the way:
-- that one would take slots for nobody.
local LATE = 60 * SECOND
local function ended(id, unsure)
  if unsure ~= '1' then return end
  call('ZREMRANGEBYSCORE', K.gone, '-inf', int(now - LATE))
  call('ZADD', K.gone, int(now), id)
  call('PEXPIRE', K.gone, int(2 * LATE / 1000))
end

-- release: id, "" or its start if nothing ran, as it was told or "-", and 1 if a step may
-- still be on the way. Gives the slots back.
function step.release(id, start, unsure)
  ended(id, unsure)
  if giveBack(id, start) then held.forget(id) end
  line.settle()
  return { 'ok', int(now), server.run }
end

-- undo: id, and 1 if a step may still be on the way and its caller goes. Gives back what a
-- try got whose answer was lost, if nobody was told of it since.
function step.undo(id, unsure)
  ended(id, unsure)
  local start = call('HGET', K.data, 'b:' .. id)
  if start and string.find(start, ' try$') then return step.release(id, UNSEEN) end
  return { 'ok', int(now), server.run }
end

-- leave: id, key, grace, and 1 if a step may still be on the way. Gives a place up, or keeps
-- it for the key; and slots that were granted to it.
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
  line.wake(id) -- whoever still listens for it can go
  call('PEXPIRE', WAKE .. id, 1000)
  return done
end

-- aside: id, 1 or 0, request, number, priority, since. Lets the others pass a place, or
-- no longer; the place is taken again if it was dropped. Who goes aside gives back what
-- was granted to it unseen.
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
  w.due = life.due(TTL)
  call('HSET', K.wait, id, line.pack(w))
  return { 'ok', int(now), server.run }
end

-- set: pool, the settings that are expected, and the new ones. Says again, with those
-- that are there, when they are others.
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

-- report: what the gates said, as JSON, and when is this server's business.
function step.report(text)
  pool.set('report', text)
  pool.set('reported', int(now))
  return { 'ok', int(now), server.run }
end

if step[STEP] and STEP ~= 'release' then return done() end
