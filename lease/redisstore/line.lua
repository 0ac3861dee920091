-- line.lua: keeps the line of waiters in order and grants slots to its head.
local line = {}

function line.pack(w)
  return string.format('%.0f %.0f %.0f %d %s', w.due, w.suspect, w.ttl, w.aside, w.since)
end

function line.parse(v)
  local d, s, t, a, b = string.match(v or '', '^(%d+) (%d+) (%d+) ([012]) (%d+)$')
  if not d or #d > 17 or #s > 17 or #t > 16 then return nil end
  return { due = tonumber(d), suspect = tonumber(s), ttl = tonumber(t), aside = tonumber(a), since = b }
end

function line.drop(id)
  pool.touched = true
  call('ZREM', K.line, id)
  call('HDEL', K.wait, id)
end

-- unkey removes the way from a key to a waiter.
function line.unkey(key, id)
  if key and call('HGET', K.data, 't:' .. key) == id then call('HDEL', K.data, 't:' .. key) end
end

function line.keep(id, w, grace)
  pool.touched = true
  w.aside, w.ttl, w.suspect, w.due = 2, grace, 0, now + grace
  call('HSET', K.wait, id, line.pack(w))
end

-- expire drops a dead waiter, or keeps its place for its key. It returns whether it is kept.
function line.expire(id, w)
  local r = read.request(call('HGET', K.data, id)) or {}
  if r.key and w.aside ~= 2 and call('HEXISTS', K.data, 's:' .. id) == 0 then
    line.keep(id, w, (r.grace_ns or 0) / 1000)
    return true
  end
  line.drop(id)
  held.forget(id)
  line.unkey(r.key, id)
end

-- known returns the record of a waiter, and drops one that cannot be read: if its owner
-- lives, it takes the same place again with its next turn.
function line.known(id)
  local text = call('HGET', K.wait, id)
  local w = line.parse(text)
  if w or not text or READS then return w end
  note('dropped', K.wait, id)
  line.drop(id)
  held.forget(id)
end

-- head returns the first waiter that is alive, is not aside and was not told to leave. On the
-- way it judges those before it, and drops or expires the dead. nextDue is when one of them,
-- or the head, is to be judged next.
function line.head()
  local at = 0
  line.nextDue = nil
  while true do
    local ids = call('ZRANGE', K.line, at, at + 9)
    if #ids == 0 then return nil end
    for _, id in ipairs(ids) do
      local w = line.known(id)
      local state = w and liveness.judge(w)
      if state == liveness.DEAD and not READS then
        if line.expire(id, w) then at = at + 1 end
      elseif w then
        if w.changed and not READS then call('HSET', K.wait, id, line.pack(w)) end
        if w.aside ~= 1 and not (line.nextDue and line.nextDue < liveness.judged(w)) then line.nextDue = liveness.judged(w) end
        if state == liveness.ALIVE and w.aside == 0 and call('HEXISTS', K.data, 's:' .. id) == 0 then return id end
        at = at + 1
      elseif READS then
        at = at + 1
      else
        line.drop(id)
        held.forget(id)
      end
    end
  end
end

-- token returns the next fencing token. After the state was lost or the pool was forgotten,
-- tokens continue from the clock: none comes twice, and they never fall unless the clock was
-- set back as well.
function line.token()
  if not pool.token then
    local t = call('HMGET', K.pool, 'token', 'run')
    pool.token = num(t[1])
    if t[2] ~= server.run then pool.token = math.max(pool.token, server.floor, now) end
    pool.set('run', server.run)
  end
  pool.token = pool.token + 1
  pool.set('token', int(pool.token))
  return int(pool.token)
end

-- names are those of these slots, as JSON; '' in a pool that does not name its slots.
function line.names(slots)
  local all, some = pool.own.names, {}
  if type(all) ~= 'table' then return '' end
  for _, s in ipairs(slots) do
    local name = all[s + 1]
    if type(name) == 'string' then some[#some + 1] = name end
  end
  return #some > 0 and cjson.encode(some) or ''
end

-- take gives a request the lowest free slots. tried is the text of a request that stands in
-- no line; its start is marked until the caller is known to have been told.
function line.take(id, r, limit, tried)
  local slots = {}
  for i = 1, r.weight do
    slots[i] = call('BITPOS', K.slots, 0)
    call('SETBIT', K.slots, slots[i], 1)
  end
  local ttl = (r.ttl_ns or 0) / 1000
  local h = {
    due = liveness.due(ttl), suspect = 0, ttl = ttl, weight = r.weight, asks = r.limit or 0,
    token = line.token(), limit = int(limit), since = int(now), slots = table.concat(slots, ','),
  }
  h.start, h.names = starts.add({ pool.own, r }), line.names(slots)
  held.add(id, h)
  if h.names ~= '' then call('HSET', K.data, 'm:' .. id, h.names) end
  if tried then
    call('HSET', K.data, id, tried, 'b:' .. id, h.start .. ' try')
  else
    call('HSET', K.data, 'b:' .. id, h.start)
    line.drop(id)
    line.unkey(r.key, id)
  end
  call('SADD', K.pools, r.pool)
  return h
end

-- grant returns what a caller is told of its slots, and their names.
function line.grant(id, h)
  if not h.start then
    local d = call('HMGET', K.data, 'b:' .. id, 'm:' .. id)
    h.start, h.names = d[1] or '', d[2] or ''
  end
  return table.concat({ h.token, h.limit, h.since, h.slots, h.start }, ' '), h.names
end

-- wake tells a waiter to ask for its turn. It is only a hint, which anyone who can write to
-- this server could give, and it must not fail the step: a waiter checks by itself, too. One
-- word in the list is enough.
function line.wake(id)
  local n = redis.pcall('RPUSH', WAKE .. id, 'look')
  if n == 1 then
    call('PEXPIRE', WAKE .. id, DAY / 1000)
  elseif type(n) == 'number' then
    call('RPOP', WAKE .. id)
  end
end

-- settled remembers that the head has to wait: until again, if only the clock holds it up.
function line.settled(id, again)
  if id ~= pool.head then pool.set('head', id) end
  if again ~= pool.recheck then pool.set('again', int(again)) end
  pool.head, pool.recheck, pool.changed = id, again, false
end

-- settle grants slots to the head of the line, again and again as long as there is room. A
-- head that first has to do something itself is woken. It returns the head that has to wait.
-- It does nothing while the head is the same, nothing has changed, and no pace or hold-off
-- has ended: nothing could come of it.
function line.settle()
  while true do
    local id = line.head()
    local due = pool.recheck > 0 and now >= pool.recheck
    if not pool.changed and not due and (id or '') == pool.head then return id end
    if not id or rule.full() then
      line.settled(id or '', 0)
      return id
    end
    local r = read.request(call('HGET', K.data, id))
    if not r then -- its request cannot be read
      note('dropped', K.data, id)
      line.drop(id)
      held.forget(id)
    else
      local why, limit = rule.decide(r, 0, {})
      if why ~= 'ready' then
        if why == 'gated' or why == 'paced' or why == 'recovers' then line.wake(id) end
        line.settled(id, why == 'paced' and now + starts.wait({ pool.own, r }) or why == 'recovers' and now + held.holdOff((r.ttl_ns or 0) / 1000) or 0)
        return id
      end
      line.take(id, r, limit)
      line.wake(id)
      pool.changed = true -- for the next waiter, which is the head now
    end
  end
end

-- answer is what every step that wants slots returns. With no waiter before the caller, it says
-- when a record is to be judged next. A caller that has its slots needs no numbers.
function line.answer(why, ahead, grant, names, stop)
  if grant then return { why, int(now), server.run, pool.sum, 0, 0, '0', pool.text, '0', '', grant, '', '', names } end
  starts.read()
  local first = ''
  if ahead == 0 then
    local at = held.soonest()
    if line.nextDue and not (at and at < line.nextDue) then at = line.nextDue end
    first = at and int(math.max(0, at - now)) or ''
  end
  return {
    why, int(now), server.run, pool.sum, held.smallestLimit(), ahead, int(held.holdOff()), pool.text, int(starts.last), starts.text, '', first, stop or '',
  }
end

function line.score(priority, seq) return int((priority + 20) * 2 ^ 46 + seq) end

-- join puts a waiter into the line; seq is the place that it had before, or 0. Numbers follow
-- the clock, so that they grow also after the state was lost.
function line.join(id, text, r, seq, since)
  if seq == 0 then
    seq = math.max(num(call('HGET', K.pool, 'seq')) + 1, math.floor(now / 1000))
    pool.set('seq', int(seq))
  end
  local ttl = (r.ttl_ns or 0) / 1000
  pool.touched = true
  call('ZADD', K.line, line.score(r.priority, seq), id)
  call('HSET', K.wait, id, line.pack({ due = liveness.due(ttl), suspect = 0, ttl = ttl, aside = 0, since = since or int(now) }))
  call('HSET', K.data, id, text)
  if r.key then call('HSET', K.data, 't:' .. r.key, id) end
  call('SADD', K.pools, r.pool)
end

function line.place(id)
  local s = tonumber(call('ZSCORE', K.line, id) or 0)
  return s % 2 ^ 46, math.floor(s / 2 ^ 46) - 20
end
