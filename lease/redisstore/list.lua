-- The steps that look.

-- holder: id, request, child, its state, what is held, its last keepalive; nil of none.
local function holder(id)
  local text = call('HGET', K.held, id)
  if not text then return nil end
  local h = held.parse(text)
  local state = h and life.judge(h) or life.ALIVE
  if state == life.DEAD then return nil end
  local d = call('HMGET', K.data, id, 'c:' .. id, 'k:' .. id)
  return { id, d[1] or '', d[2] or '', tostring(state), h and held.pack(h) or '', d[3] or '' }
end

-- waiter: id, request, number, priority, since, 1 if it is passed for now; nil of none.
local function waiter(id)
  local w = line.known(id)
  local state = w and life.judge(w)
  if not w or state == life.DEAD then return nil end
  local seq, priority = line.place(id)
  local aside = (w.aside > 0 or state == life.SUSPECT) and '1' or '0'
  return { id, call('HGET', K.data, id) or '', int(seq), tostring(priority), w.since, aside }
end

local function each(of, ...)
  local all = {}
  for _, id in ipairs({ ... }) do
    all[#all + 1] = of(id)
  end
  return { 'ok', int(now), server.run, all }
end

-- holders, waiters: ids. What is known of them: a list comes in pieces, so that it holds
-- nobody up.
function step.holders(...) return each(holder, ...) end
function step.waiters(...) return each(waiter, ...) end

-- BOX is where the last message of each kind is kept, beside the record.
local BOX = { stop = 's:', keepalive = 'k:' }

-- tell: id, kind of message, what it says. Leaves a message; returns whether it is for a
-- holder or a waiter, and its record. A keepalive is for holders, and says when it came.
function step.tell(id, kind, text)
  local role, found = 'holder', holder(id)
  if not found then role, found = 'waiter', waiter(id) end
  if not found then return { 'none', int(now), server.run } end
  if kind == 'keepalive' then
    if role == 'waiter' then return { 'waits', int(now), server.run } end
    text = int(now)
  end
  call('HSET', K.data, BOX[kind] .. id, text)
  if role == 'waiter' then line.wake(id) end
  return { 'ok', int(now), server.run, role, found, pool.text }
end

local function described()
  starts.read()
  local got = call('HMGET', K.pool, 'report', 'reported')
  return pool.text, int(starts.last), starts.text, got[1] or '', got[2] or '', int(held.recovers())
end

-- list: a pool, and the ids of all its holders and waiters at one moment.
function step.list()
  local o, l, b, r, at, left = described()
  return { 'ok', int(now), server.run, o, l, b, r, at, left, call('HKEYS', K.held), call('ZRANGE', K.line, 0, -1) }
end

-- summary: id. A pool and the ids of its holders, how long its line is, and which of it
-- that id is.
function step.summary(id)
  local o, l, b, r, at, left = described()
  local rank = call('ZRANK', K.line, id)
  return { 'ok', int(now), server.run, o, l, b, r, at, left, call('HKEYS', K.held), {}, call('ZCARD', K.line), rank and rank + 1 or 0 }
end

if step[STEP] and STEP ~= 'release' then return done() end
