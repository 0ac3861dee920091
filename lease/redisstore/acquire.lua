-- acquire.lua: the steps that want slots: try, line and turn.

-- ownRequest decodes the request of the caller, which the client has made.
local function ownRequest(text)
  local r = cjson.decode(text)
  r.priority = r.priority or 0
  return r
end

-- A step whose caller has left was delayed by the network: it takes nothing.
local late = { 'late', int(now) }
local function isOver(id) return call('ZSCORE', K.gone, id) end

-- regrant answers a caller that has its slots already, because an answer was lost. It writes
-- a heartbeat, from which the lease counts, and so that replicas have something to confirm.
local function regrant(id, h)
  h.due, h.suspect = liveness.due(h.ttl), 0
  held.put(id, h)
  return line.answer('ready', 0, line.grant(id, h))
end

-- granted returns what the caller of a try or a turn has already. A record that cannot be
-- read is removed: the caller was not told of it.
local function granted(id)
  local h = ownRecord and held.known(id)
  if h == false and ownRecord then held.remove(id) end
  return h
end

-- try: id, request. Takes the slots if no waiter goes first and there is room.
function step.try(id, text)
  local h = granted(id)
  if h then return regrant(id, h) end
  local r = ownRequest(text)
  local first, ahead = line.settle(), 0
  if first then
    local _, priority = line.place(first)
    if priority <= r.priority then
      ahead = math.max(1, call('ZCOUNT', K.line, '-inf', '(' .. line.score(r.priority + 1, 0)))
    end
  end
  local why, limit = rule.decide(r, ahead, {})
  if why ~= 'ready' then return line.answer(why, ahead) end
  -- If its caller has left, stands in the line or has its slots from there, the network has
  -- delayed this step.
  if isOver(id) or call('HEXISTS', K.wait, id) == 1 or call('HEXISTS', K.held, id) == 1 then return late end
  return line.answer(why, 0, line.grant(id, line.take(id, r, limit, text)))
end

-- line: id, request. Takes a place in the line: a new one, or the one that is kept for the
-- request's key, or that of a waiter with this key that misses its heartbeats, because it was
-- killed. Returns its number, the time, its priority, and since when it is there.
function step.line(id, text)
  if held.known(id) then return { '0', int(now), '0', int(now), server.run } end
  local w = line.known(id)
  if not w then
    if isOver(id) then return late end
    local r = ownRequest(text)
    local kept = r.key and call('HGET', K.data, 't:' .. r.key)
    w = kept and line.known(kept)
    local state = w and liveness.judge(w)
    if w and (w.aside == 2 and state ~= liveness.DEAD or w.aside == 0 and state ~= liveness.ALIVE) then
      local seq, priority = line.place(kept)
      line.drop(kept)
      held.forget(kept)
      r.priority = priority
      line.join(id, text, r, seq, w.since)
    else
      line.join(id, text, r, 0)
    end
    w = line.known(id)
  end
  local seq, priority = line.place(id)
  return { int(seq), int(now), tostring(priority), w.since, server.run }
end

-- turn: id, request, number, priority, since, clearance. Writes the heartbeat of a place,
-- which it takes again if it was dropped, and takes the slots if it is this ticket's turn.
function step.turn(id, text, seq, priority, since, clearance)
  local h = granted(id)
  if h then
    call('DEL', WAKE .. id)
    local start = call('HGET', K.data, 'b:' .. id)
    if start and string.find(start, ' try$') then -- the caller is told now: undo comes too late
      call('HSET', K.data, 'b:' .. id, string.sub(start, 1, -5))
    end
    return regrant(id, h)
  end
  local stop = call('HGET', K.data, 's:' .. id)
  if stop then return line.answer('stopped', 0, nil, nil, stop) end
  local r = ownRequest(text)
  r.priority = tonumber(priority)
  local w = line.known(id)
  if w and call('ZSCORE', K.line, id) then
    w.due, w.suspect, w.ttl, w.aside = liveness.due(TTL), 0, TTL, 0
    call('HSET', K.wait, id, line.pack(w))
  elseif not w and isOver(id) then
    return late
  else
    line.join(id, text, r, tonumber(seq), since)
  end
  local first = line.settle()
  h = first ~= id and held.known(id)
  if h then
    call('DEL', WAKE .. id)
    return line.answer('ready', 0, line.grant(id, h))
  end
  if first ~= id then return line.answer('behind', math.max(1, call('ZRANK', K.line, id) or 1)) end
  local why, limit = rule.decide(r, 0, cjson.decode(clearance))
  if why ~= 'ready' then return line.answer(why, 0) end
  pool.unsettle()
  return line.answer(why, 0, line.grant(id, line.take(id, r, limit)))
end

local function done()
  local ok, result = pcall(function()
    held.check()
    local result = step[STEP](unpack(ARGV, 9))
    if pool.changed and not READS then line.settle() end
    return result
  end)
  pool.save()
  pool.tellWatchers()
  if not ok then return type(result) == 'table' and result or { err = result } end
  return { result, notes }
end

if step[STEP] then return done() end
