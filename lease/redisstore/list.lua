-- list.lua: the steps that describe a pool, and the ones that tell a holder or waiter something.

-- holder returns id, request, child, state, record, last keepalive, note, adopter and the names
-- of its slots; nil if there is none.
local function holder(id)
  local text = call('HGET', K.held, id)
  if not text then return nil end
  local h = held.parse(text)
  local state = h and liveness.judge(h) or liveness.ALIVE
  if state == liveness.DEAD then return nil end
  local d = call('HMGET', K.data, id, 'c:' .. id, 'k:' .. id, 'n:' .. id, 'a:' .. id, 'm:' .. id)
  local a, adopted = adoption.read(id, d[5])
  return { id, d[1] or '', d[2] or '', tostring(state), h and held.pack(h) or '', d[3] or '', d[4] or '', adopted and a.by or '', d[6] or '' }
end

-- waiter returns id, request, number, priority, since, and 1 if others pass it for now; nil if
-- there is none.
local function waiter(id)
  local w = line.known(id)
  local state = w and liveness.judge(w)
  if not w or state == liveness.DEAD then return nil end
  local seq, priority = line.place(id)
  local aside = (w.aside > 0 or state == liveness.SUSPECT) and '1' or '0'
  return { id, call('HGET', K.data, id) or '', int(seq), tostring(priority), w.since, aside }
end

local function each(of, ...)
  local all = {}
  for _, id in ipairs({ ... }) do
    all[#all + 1] = of(id)
  end
  return { 'ok', int(now), server.run, all }
end

-- holders, waiters: ids. Returns what is known of them. A list is read in pieces, so that no
-- single step takes long.
function step.holders(...) return each(holder, ...) end
function step.waiters(...) return each(waiter, ...) end

-- BOX is where the last message of each kind is kept, beside the record. A waiter that is
-- superseded has to leave like one that is stopped, and an older berth sees to that as well.
local BOX = { stop = 's:', supersede = 's:', keepalive = 'k:', release = 'r:' }
local ONLY_FOR = { supersede = 'waiter', keepalive = 'holder', release = 'holder' }

-- tell: id, kind of message, what it says, its note. Leaves a message; returns whether it is
-- for a holder or a waiter, and its record; or how long a record may yet come back that this
-- server has forgotten. A keepalive says when it came.
function step.tell(id, kind, text, told)
  local role, found = 'holder', holder(id)
  if not found then role, found = 'waiter', waiter(id) end
  if not found then return { 'none', int(now), server.run, int(held.holdOff()) } end
  if ONLY_FOR[kind] and ONLY_FOR[kind] ~= role then return { 'not for a ' .. role, int(now), server.run } end
  if kind == 'keepalive' then text = int(now) end
  local w = role == 'waiter' and line.known(id)
  if w and w.aside == 2 then
    line.expire(id, w) -- only its key keeps the place: no waiter could leave
  else
    call('HSET', K.data, BOX[kind] .. id, text)
    if told ~= '' then
      call('HSET', K.data, 'n:' .. id, told)
      pool.touched = true
    end
    if w then line.wake(id) end
  end
  return { 'ok', int(now), server.run, role, found, pool.text }
end

local function describe()
  starts.read()
  local got = call('HMGET', K.pool, 'report', 'reported')
  return pool.text, int(starts.last), starts.text, got[1] or '', got[2] or '', int(held.holdOff())
end

-- list: nothing. Returns a pool, and the ids of all its holders and waiters at one moment.
function step.list()
  local o, l, b, r, at, left = describe()
  return { 'ok', int(now), server.run, o, l, b, r, at, left, call('HKEYS', K.held), call('ZRANGE', K.line, 0, -1) }
end

-- summary: id. Returns a pool, the ids of its holders, the length of its line, and the place
-- of that id in it.
function step.summary(id)
  local o, l, b, r, at, left = describe()
  local rank = call('ZRANK', K.line, id)
  return { 'ok', int(now), server.run, o, l, b, r, at, left, call('HKEYS', K.held), {}, call('ZCARD', K.line), rank and rank + 1 or 0 }
end

if step[STEP] and STEP ~= 'release' then return done() end
