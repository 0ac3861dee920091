-- steps.lua: the steps that restore or end a lease or place, and those that change a pool.

local function taken(slots)
  for s in string.gmatch(slots, '%d+') do
    if call('GETBIT', K.slots, s) == 1 then return true end
  end
  return false
end

-- restore: id, request, child, weight, requested limit, token, limit, since, slots, names of
-- slots. Registers a lease that this server has forgotten or cannot read. While no new job has
-- started it is registered even if its slots seem to be taken: by a holder whose end was
-- forgotten. Later there has to be room for it. Its ticket is dropped, if the server forgot
-- only the grant.
function step.restore(id, text, child, weight, asks, token, limit, since, slots, names)
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
  if names ~= '' then call('HSET', K.data, 'm:' .. id, names) end
  if child ~= '' then call('HSET', K.data, 'c:' .. id, child) end
  call('SADD', K.pools, r.pool)
  if tonumber(token) > num(call('HGET', K.pool, 'token')) then call('HSET', K.pool, 'token', token) end
  return { 'ok', int(now), server.run }
end

-- running: id, child, the key of an adopter or "". Records the child of a lease.
function step.running(id, child, key)
  if call('HEXISTS', K.held, id) == 1 and (key == '' or adoption.isOf(adoption.of(id), key)) then
    call('HSET', K.data, 'c:' .. id, child)
    pool.touched = true
  end
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

-- whoAdopted is the answer of a step that an adoption by another process does not allow.
local function whoAdopted(id, a)
  return { 'adopted', int(now), server.run, a.by, call('HGET', K.data, 'c:' .. id) or '' }
end

-- release: id; "" or, if nothing ran, its start as the caller was told it, or "-"; 1 if a
-- step may still be on the way. Gives the slots back, unless another process has adopted the
-- lease. In a pool that is empty then, it also removes what an older berth has left of leases
-- that it dropped.
function step.release(id, start, unsure)
  local a, adopted = adoption.of(id)
  if adopted then return whoAdopted(id, a) end
  rememberEnd(id, unsure)
  if giveBack(id, start) then held.forget(id) end
  line.settle()
  if pool.sum == 0 and call('HLEN', K.wait) == 0 then call('DEL', K.data) end
  return { 'ok', int(now), server.run }
end

-- adoptBy writes the adoption of the lease h, which takes the place of a, if there is one.
local function adoptBy(id, h, a, ttl, key, by)
  local new = adoption.begin(a and a.keeper or h, ttl, key, by)
  adoption.put(id, new)
  adoption.hold(h, new, true)
  held.put(id, h)
  held.countTTL(id, h.ttl)
  pool.touched = true
end

-- adopt: id, key, adopter. Adopts a kept lease, and renews it. Returns ok, its request, record,
-- and the names of its slots; or why not. During the recovery hold-off nobody can, because an
-- adopter that was forgotten may yet come back. A process that has adopted it does so once
-- more: the answer was lost.
function step.adopt(id, key, by)
  if isOver(key) then return late end
  local h = held.known(id)
  local r = h and read.request(call('HGET', K.data, id))
  local a, adopted = adoption.of(id)
  local ttl = r and (r.ttl_ns or 0) / 1000 or 0
  local mine = adopted and a.by == by
  local left = mine and 0 or held.holdOff(ttl)
  if h and adopted and not mine then return whoAdopted(id, a) end
  if r and r.kept ~= true then return { 'not kept', int(now), server.run } end
  if left > 0 then return { 'recovers', int(now), server.run, int(left) } end
  if not r then return { h ~= nil and 'unreadable' or call('HEXISTS', K.wait, id) == 1 and 'waits' or 'none', int(now), server.run } end
  if not mine then call('HDEL', K.data, 'c:' .. id) end
  adoptBy(id, h, a, ttl, key, by)
  return { 'ok', int(now), server.run, call('HGET', K.data, id), held.pack(h), pool.text, call('HGET', K.data, 'm:' .. id) or '' }
end

-- disown: id, the key of an adopter; 1 if a step may still be on the way. Ends an adoption.
function step.disown(id, key, unsure)
  rememberEnd(key, unsure)
  local a = adoption.of(id)
  if not a or a.key ~= key then return { 'ok', int(now), server.run } end
  call('HDEL', K.data, 'a:' .. id, 'c:' .. id)
  local h = held.known(id)
  if h then
    adoption.hold(h, a, false)
    held.put(id, h)
    held.countTTL(id, h.ttl)
  end
  pool.set('used', int(now))
  pool.touched = true
  return { 'ok', int(now), server.run }
end

-- readopt: key, adopter, then as restore. Registers an adoption that this server has forgotten,
-- and its lease, if that is forgotten as well. An adopter of before the loss that nobody has
-- heard of since has to give way.
function step.readopt(key, by, id, text, child, ...)
  if isOver(key) then return late end
  local a, adopted = adoption.of(id)
  if adopted and a.run == server.run and not adoption.isOf(a, key) then return { 'lost', int(now), server.run } end
  if not held.known(id) then
    local restored = step.restore(id, text, child, ...)
    if restored[1] ~= 'ok' then return restored end
  end
  if child ~= '' then call('HSET', K.data, 'c:' .. id, child) end
  adoptBy(id, held.known(id), a, TTL, key, by)
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
    local _, adopted = adoption.of(id)
    if on == '0' or adopted then return { 'ok', int(now), server.run } end
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
  pool.touched = true
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
  pool.touched = true
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
