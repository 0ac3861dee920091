-- held.lua: keeps the holders and what is derived from them, and drops the dead.
--
-- A record that cannot be read must not make every step fail.
local read = {}

function read.table(text)
  local ok, t = pcall(cjson.decode, text)
  return ok and type(t) == 'table' and t or nil
end

-- numbers reports whether those of the fields that a decoded record has are numbers.
function read.numbers(t, ...)
  for _, f in ipairs({ ... }) do
    local v = t[f]
    if v ~= nil and (type(v) ~= 'number' or v ~= v or math.abs(v) > 1e18) then return false end
  end
  return true
end

function read.conditions(t)
  local rate = t.rate
  return read.numbers(t, 'min_slots', 'ramp_ns') and (t.gates == nil or type(t.gates) == 'string')
    and (rate == nil or type(rate) == 'table' and type(rate.every_ns) == 'number' and type(rate.burst) == 'number' and read.numbers(rate, 'every_ns', 'burst'))
end

-- request returns nil for what is no request of berth's.
function read.request(text)
  local r = read.table(text or '')
  if not r or type(r.pool) ~= 'string' or type(r.weight) ~= 'number' then return nil end
  if r.weight < 1 or r.weight > 1e6 or r.weight % 1 ~= 0 then return nil end
  if not read.numbers(r, 'weight', 'limit', 'fallback', 'priority', 'ttl_ns', 'grace_ns') or not read.conditions(r) then return nil end
  if r.key ~= nil and type(r.key) ~= 'string' then return nil end
  r.priority = r.priority or 0
  return r
end

-- With settings that cannot be read no new job starts. The field from which an older berth
-- reads them holds none, so that it starts no job either: it would not keep up everything
-- that has to fit together here.
if pool.text ~= '' then
  pool.own = read.table(pool.text)
  if not pool.own or not read.numbers(pool.own, 'limit') or not read.conditions(pool.own) then pool.own = { limit = 0 } end
end

-- add registers a holder whose slots are marked already.
function held.add(id, h)
  server.markUsed()
  held.put(id, h)
  held.smallest = false
  pool.sum = pool.sum + h.weight
  pool.touched = true
  pool.set('sum', int(pool.sum))
  if h.asks > 0 then call('ZADD', K.asks, int(h.asks), id) end
  if h.ttl > RECOVER then held.countTTL(id, h.ttl) end
end

function held.mark(slots)
  for s in string.gmatch(slots, '%d+') do
    if call('SETBIT', K.slots, s, 1) == 1 then
      pool.shared = '1'
      pool.set('twice', pool.shared)
    end
  end
end

-- setAside notes a record that cannot be read. Its owner rewrites it with its next heartbeat,
-- so it is dropped if it is still the same after that.
function held.setAside(id, text)
  note('aside', K.held, id)
  call('HSET', K.data, 'o:' .. id, text)
  call('ZADD', K.due, int(now + math.max(RECOVER, TTL) * 1.5), id)
end

function held.isSetAside(id, text) return call('HGET', K.data, 'o:' .. id) == text end

-- rebuild makes what is derived from held again: something else wrote to it, or the clock was
-- set back. A record that cannot be read counts as one slot of unknown number.
function held.rebuild()
  local was, since = call('HGETALL', K.held), {}
  for i = 1, #was, 2 do since[was[i]] = call('ZSCORE', K.due, was[i]) end
  call('DEL', K.due, K.slots, K.asks, K.ttls)
  pool.set('head', '')
  pool.set('twice', '')
  pool.head = ''
  pool.sum, pool.shared, held.smallest, held.firstDue = 0, '', false, false
  for i = 1, #was, 2 do
    local id, h = was[i], held.parse(was[i + 1])
    if h then
      liveness.judge(h)
      held.mark(h.slots)
      held.add(id, h)
    else
      pool.sum = pool.sum + 1
      if since[id] and held.isSetAside(id, was[i + 1]) then call('ZADD', K.due, since[id], id) else held.setAside(id, was[i + 1]) end
    end
  end
  pool.set('sum', int(pool.sum))
  pool.set('at', int(now))
end

function held.forget(id)
  call('HDEL', K.data, id, 'c:' .. id, 's:' .. id, 'k:' .. id, 'b:' .. id, 'o:' .. id, 'n:' .. id, 'm:' .. id, 'r:' .. id, 'a:' .. id)
end

-- remove takes a holder out, and returns whether there was one.
function held.remove(id)
  local text = call('HGET', K.held, id)
  if not text then return false end
  local h = held.parse(text)
  pool.touched = true
  call('HDEL', K.held, id)
  if not h or pool.shared ~= '' then
    held.rebuild()
    return true
  end
  for s in string.gmatch(h.slots, '%d+') do call('SETBIT', K.slots, s, 0) end
  pool.sum = pool.sum - h.weight
  pool.set('sum', int(pool.sum))
  call('ZREM', K.due, id)
  held.smallest, held.firstDue = false, false
  if h.asks > 0 then call('ZREM', K.asks, id) end
  if h.ttl > RECOVER then call('ZREM', K.ttls, id) end
  return true
end

-- soonest is when a holder is to be judged next; nil: there is none.
function held.soonest()
  held.firstDue = held.firstDue or tonumber(call('ZRANGE', K.due, 0, 0, 'WITHSCORES')[2])
  return held.firstDue
end

-- sweep judges the holders that are due. A step that only reads drops none of them, but it
-- does mark suspects: otherwise a dead holder would stay in a pool that is only looked at.
function held.sweep()
  if (held.soonest() or now) >= now then return end
  for _, id in ipairs(call('ZRANGEBYSCORE', K.due, '-inf', int(now), 'LIMIT', 0, 100)) do
    local text = call('HGET', K.held, id)
    local h = text and held.parse(text)
    local dead
    if h then
      dead = liveness.judge(h) == liveness.DEAD
      if not dead then held.put(id, h) end
    elseif text then
      dead = held.isSetAside(id, text)
      if not dead then held.setAside(id, text) end
    else
      call('ZREM', K.due, id)
    end
    if dead and not READS then
      held.remove(id)
      held.forget(id)
      pool.unsettle()
    end
  end
end

-- check makes the pool fit what a step expects of it.
function held.check()
  if not READS and pool.state[2] ~= CLOSED then
    pool.set('set', pool.text)
    pool.set('own', CLOSED)
  end
  if not fits or call('HLEN', K.held) ~= call('ZCARD', K.due) then
    if not READS or call('EXISTS', K.held) == 1 then held.rebuild() end
  elseif tick and not READS then
    pool.set('at', int(now))
  end
  held.sweep()
end

-- smallestLimit is the smallest that a holder requests, 0 if none does.
function held.smallestLimit()
  held.smallest = held.smallest or tonumber(call('ZRANGE', K.asks, 0, 0, 'WITHSCORES')[2] or 0)
  return held.smallest
end

-- holdOff is how much longer holders may register that were forgotten: for the longest TTL of
-- any of them, as far as that can be known, which is RECOVER, the caller's own, and those of
-- the holders that are still remembered.
function held.holdOff(ttl)
  local longest = math.max(TTL, RECOVER, ttl or 0)
  if server.forgotten + math.max(longest, HOUR) <= now then return 0 end
  local last = call('ZRANGE', K.ttls, -1, -1, 'WITHSCORES')
  return math.max(0, server.forgotten + math.max(longest, tonumber(last[2] or 0)) - now)
end
