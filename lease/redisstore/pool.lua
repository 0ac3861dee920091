-- pool.lua: reads and writes the record of the pool and those of its holders.
local CLOSED = '-'
local function readState(short)
  if short then return call('HMGET', K.pool, 'set', 'own', 'sum', 'at', 'head', 'twice') end
  return call('HMGET', K.pool, 'set', 'own', 'sum', 'at', 'head', 'twice', 'last', 'buckets', 'count', 'over', 'slow', 'used', 'again')
end
local state = readState(STEP == 'renew') -- which most often needs no starts
local pool = {
  state = state,
  own = {}, -- its settings; text is how they are written, also by an older berth
  text = state[2] == CLOSED and state[1] or state[2] ~= CLOSED and state[2] or '',
  sum = num(state[3]), -- slots in use
  head = state[5] or '', -- the waiter for which the line was last settled
  recheck = num(state[13]), -- when head may have its turn by the clock alone; 0: never
  shared = state[6] or '',
  changed = false, -- a waiter's turn may have come
  touched = false, -- a list may show something else than before
}

-- Changes of the record are written once, at the end of the step, also if that fails.
local unsaved = {}
function pool.set(field, value) unsaved[field] = value end
function pool.save()
  local all = {}
  for field, value in pairs(unsaved) do
    all[#all + 1] = field
    all[#all + 1] = value
  end
  if #all > 0 then call('HSET', K.pool, unpack(all)) end
  unsaved = {}
end
function pool.discard() unsaved = {} end

-- tellWatchers publishes that a list may show something else. A user without the right to
-- publish here costs the watchers some time, and must not make the step fail.
function pool.tellWatchers()
  if not pool.touched or READS then return end
  local start = string.sub(K.pools, 1, -#'pools' - 1)
  redis.pcall('PUBLISH', start .. 'changed:' .. string.sub(K.pool, #start + #'pool:' + 1), '')
end

-- unsettle is called where a waiter's turn may have come: the line is to be settled, by a
-- later step if this one fails.
function pool.unsettle()
  pool.changed = true
  if pool.head ~= '' then pool.set('head', '') end
  pool.head = ''
end

-- smallest and firstDue are read when they are first needed; false: not yet. DIGITS is the
-- most that the number of a slot may have.
local held = { smallest = false, firstDue = false, DIGITS = 7 }

function held.pack(h)
  return string.format('%.0f %.0f %.0f %d %d %s %s %s %s', h.due, h.suspect, h.ttl, h.weight, h.asks, h.token, h.limit, h.since, h.slots)
end

-- parse returns nil for what berth has not written. The number of a slot is bounded because
-- it addresses a bit.
function held.parse(v)
  local d, s, t, w, a, k, l, b, slots = string.match(v, '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) ([%d,]+)$')
  if not d or #d > 17 or #s > 17 or #t > 16 or #a > 15 then return nil end
  if w ~= '1' or #slots > held.DIGITS or string.find(slots, ',') then
    local n = 0
    for i in string.gmatch(slots, '%d+') do
      n = n + 1
      if #i > held.DIGITS then return nil end
    end
    if n ~= tonumber(w) then return nil end
  end
  return {
    due = tonumber(d), suspect = tonumber(s), ttl = tonumber(t), weight = tonumber(w), asks = tonumber(a),
    token = k, limit = l, since = b, slots = slots,
  }
end

-- put writes a record, and notes when it is to be judged next.
function held.put(id, h)
  held.firstDue = false
  call('HSET', K.held, id, held.pack(h))
  call('ZADD', K.due, int(liveness.judged(h)), id)
end

function held.countTTL(id, ttl)
  if ttl > RECOVER and ttl < HOUR then -- a suspended holder has an hour
    call('ZADD', K.ttls, int(ttl), id)
  else
    call('ZREM', K.ttls, id)
  end
end

-- known returns the record of a holder: nil if there is none, false if it cannot be read.
function held.known(id)
  local text = call('HGET', K.held, id)
  if not text then return nil end
  return held.parse(text) or false
end

-- Before a step, what is derived from held is checked and overdue holders are judged. Before
-- a heartbeat, once in a second is enough.
local at = num(pool.state[4])
local fits = pool.state[3] and string.find(pool.state[3], '^%d+$') and pool.state[2] == CLOSED and now >= at - SECOND
local tick = now > at + SECOND
