-- The pool as it is recorded, but for who is in it and in its line.
local CLOSED = '-'
local function readState(short)
  if short then return call('HMGET', K.pool, 'set', 'own', 'sum', 'at', 'head', 'twice') end
  return call('HMGET', K.pool, 'set', 'own', 'sum', 'at', 'head', 'twice', 'last', 'buckets', 'count', 'over', 'slow', 'used', 'again')
end
local state = readState(STEP == 'renew') -- which most often needs no starts
local pool = {
  state = state,
  own = {}, -- its settings, and as they are written; those of a new pool, or as an older berth set them
  text = state[2] == CLOSED and state[1] or state[2] ~= CLOSED and state[2] or '',
  sum = num(state[3]), -- slots in use
  head = state[5] or '', -- whom the line was last settled for
  again = num(state[13]), -- when it may have its turn by the clock alone; 0: never
  twice = state[6] or '',
  changed = false, -- somebody's turn may have come
}

-- What a step changes of it is written once, when the step is over, whatever became of it.
local news = {}
function pool.set(field, value) news[field] = value end
function pool.save()
  local all = {}
  for field, value in pairs(news) do
    all[#all + 1] = field
    all[#all + 1] = value
  end
  if #all > 0 then call('HSET', K.pool, unpack(all)) end
  news = {}
end
function pool.discard() news = {} end

-- unsettle comes with what may give somebody a turn: the line is to be settled, whatever
-- becomes of this step.
function pool.unsettle()
  pool.changed = true
  if pool.head ~= '' then pool.set('head', '') end
  pool.head = ''
end

-- The holders. leastAsked and firstDue are as they were read; false: to be read.
local held = { leastAsked = false, firstDue = false, DIGITS = 7 } -- of the number of a slot, at most

function held.pack(h)
  return string.format('%.0f %.0f %.0f %d %d %s %s %s %s', h.due, h.suspect, h.ttl, h.weight, h.asks, h.token, h.limit, h.since, h.slots)
end

-- parse returns nil for what is not ours. A slot's number is bounded, for each is a bit.
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

-- put writes a record, and when it is to be judged next.
function held.put(id, h)
  held.firstDue = false
  call('HSET', K.held, id, held.pack(h))
  call('ZADD', K.due, int(life.judged(h)), id)
end

function held.countTTL(id, ttl)
  if ttl > RECOVER and ttl < HOUR then -- one that is stopped asks for so much
    call('ZADD', K.ttls, int(ttl), id)
  else
    call('ZREM', K.ttls, id)
  end
end

-- known is a holder as it is recorded: nil if there is none, false if it cannot be read.
function held.known(id)
  local text = call('HGET', K.held, id)
  return text and (held.parse(text) or false)
end

-- What is made of held is seen to fit it, and who is missed is judged, before each step; once
-- a second of a pool's use is enough before a heartbeat.
local at = num(pool.state[4])
local whole = pool.state[3] and string.find(pool.state[3], '^%d+$') and pool.state[2] == CLOSED and now >= at - SECOND
local tick = now > at + SECOND
