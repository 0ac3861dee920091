-- What others have written is read with care: one record that cannot be read must not make
-- every step fail.
local read = {}

function read.table(text)
  local ok, t = pcall(cjson.decode, text)
  return ok and type(t) == 'table' and t or nil
end

-- numbers reports whether fields of a decoded record are numbers where they are there.
function read.numbers(t, ...)
  for _, f in ipairs({ ... }) do
    local v = t[f]
    if v ~= nil and (type(v) ~= 'number' or v ~= v or math.abs(v) > 1e18) then return false end
  end
  return true
end

function read.terms(t)
  local rate = t.rate
  return read.numbers(t, 'min_slots', 'ramp_ns') and (t.gates == nil or type(t.gates) == 'string')
    and (rate == nil or type(rate) == 'table' and type(rate.every_ns) == 'number' and type(rate.burst) == 'number' and read.numbers(rate, 'every_ns', 'burst'))
end

-- request returns nil for what is no request of ours.
function read.request(text)
  local r = read.table(text or '')
  if not r or type(r.pool) ~= 'string' or type(r.weight) ~= 'number' then return nil end
  if r.weight < 1 or r.weight > 1e6 or r.weight % 1 ~= 0 then return nil end
  if not read.numbers(r, 'weight', 'limit', 'fallback', 'priority', 'ttl_ns', 'grace_ns') or not read.terms(r) then return nil end
  if r.key ~= nil and type(r.key) ~= 'string' then return nil end
  r.priority = r.priority or 0
  return r
end

-- Settings that cannot be read let nobody start. What an older berth reads as settings says
-- so, too: it does not know all that has to fit together here.
if pool.text ~= '' then
  pool.own = read.table(pool.text)
  if not pool.own or not read.numbers(pool.own, 'limit') or not read.terms(pool.own) then pool.own = { limit = 0 } end
end

-- add counts a holder, whose slots are marked.
function held.add(id, h)
  server.know()
  held.put(id, h)
  held.leastAsked = false
  pool.sum = pool.sum + h.weight
  pool.set('sum', int(pool.sum))
  if h.asks > 0 then call('ZADD', K.asks, int(h.asks), id) end
  if h.ttl > RECOVER then held.countTTL(id, h.ttl) end
end

function held.mark(slots)
  for s in string.gmatch(slots, '%d+') do
    if call('SETBIT', K.slots, s, 1) == 1 then
      pool.twice = '1'
      pool.set('twice', pool.twice)
    end
  end
end

-- odd sets a record aside that cannot be read. Whoever owns it rewrites it with its next
-- heartbeat; so it is dropped if it is the same after that.
function held.odd(id, text)
  note('aside', K.held, id)
  call('HSET', K.data, 'o:' .. id, text)
  call('ZADD', K.due, int(now + math.max(RECOVER, TTL) * 1.5), id)
end

function held.isOdd(id, text) return call('HGET', K.data, 'o:' .. id) == text end

-- rebuild makes anew what is made of held: somebody else wrote to it, or the clock was
-- set back. A record that cannot be read counts as one slot, which nobody knows.
function held.rebuild()
  local was, since = call('HGETALL', K.held), {}
  for i = 1, #was, 2 do since[was[i]] = call('ZSCORE', K.due, was[i]) end
  call('DEL', K.due, K.slots, K.asks, K.ttls)
  pool.set('head', '')
  pool.set('twice', '')
  pool.head = ''
  pool.sum, pool.twice, held.leastAsked, held.firstDue = 0, '', false, false
  for i = 1, #was, 2 do
    local id, h = was[i], held.parse(was[i + 1])
    if h then
      life.judge(h)
      held.mark(h.slots)
      held.add(id, h)
    else
      pool.sum = pool.sum + 1
      if since[id] and held.isOdd(id, was[i + 1]) then call('ZADD', K.due, since[id], id) else held.odd(id, was[i + 1]) end
    end
  end
  pool.set('sum', int(pool.sum))
  pool.set('at', int(now))
end

function held.forget(id)
  call('HDEL', K.data, id, 'c:' .. id, 's:' .. id, 'k:' .. id, 'b:' .. id, 'o:' .. id)
end

-- remove takes a holder out. It returns whether it was there.
function held.remove(id)
  local text = call('HGET', K.held, id)
  if not text then return false end
  local h = held.parse(text)
  call('HDEL', K.held, id)
  if not h or pool.twice ~= '' then
    held.rebuild()
    return true
  end
  for s in string.gmatch(h.slots, '%d+') do call('SETBIT', K.slots, s, 0) end
  pool.sum = pool.sum - h.weight
  pool.set('sum', int(pool.sum))
  call('ZREM', K.due, id)
  held.leastAsked, held.firstDue = false, false
  if h.asks > 0 then call('ZREM', K.asks, id) end
  if h.ttl > RECOVER then call('ZREM', K.ttls, id) end
  return true
end

-- soonest is when judge may say otherwise of a holder.
function held.soonest()
  held.firstDue = held.firstDue or tonumber(call('ZRANGE', K.due, 0, 0, 'WITHSCORES')[2])
  return held.firstDue
end

-- sweep judges those whose time has come. Who only looks drops nobody, but suspects:
-- else nobody would ever be dropped in a pool where nobody asks for slots.
function held.sweep()
  if (held.soonest() or now) >= now then return end
  for _, id in ipairs(call('ZRANGEBYSCORE', K.due, '-inf', int(now), 'LIMIT', 0, 100)) do
    local text = call('HGET', K.held, id)
    local h = text and held.parse(text)
    local dead
    if h then
      dead = life.judge(h) == life.DEAD
      if not dead then held.put(id, h) end
    elseif text then
      dead = held.isOdd(id, text)
      if not dead then held.odd(id, text) end
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

-- look sees to it that a step finds the pool as it expects it.
function held.look()
  if not READS and pool.state[2] ~= CLOSED then
    pool.set('set', pool.text)
    pool.set('own', CLOSED)
  end
  if not whole or call('HLEN', K.held) ~= call('ZCARD', K.due) then
    if not READS or call('EXISTS', K.held) == 1 then held.rebuild() end
  elseif tick and not READS then
    pool.set('at', int(now))
  end
  held.sweep()
end

-- asked is the smallest limit that a holder asks for, 0 if none does.
function held.asked()
  held.leastAsked = held.leastAsked or tonumber(call('ZRANGE', K.asks, 0, 0, 'WITHSCORES')[2] or 0)
  return held.leastAsked
end

-- recovers is for how long yet holders may turn up that were forgotten. Nobody can know a
-- TTL that is longer than the least, the caller's own, and those that are still remembered.
function held.recovers(ttl)
  local longest = math.max(TTL, RECOVER, ttl or 0)
  if server.forgotten + math.max(longest, HOUR) <= now then return 0 end
  local last = call('ZRANGE', K.ttls, -1, -1, 'WITHSCORES')
  return math.max(0, server.forgotten + math.max(longest, tonumber(last[2] or 0)) - now)
end
