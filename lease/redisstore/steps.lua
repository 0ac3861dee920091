-- The steps. Each opens with what it takes after the common arguments, and returns.
local step = {}

-- A server that has no memory left refuses what may need some, until a script has
-- written something: then it sees it through. What keeps or frees slots must not fail.
local function evenIfFull() redis.call('HDEL', dataK, '') end

-- again answers who asks for what he has: his last answer was lost. It is a sign of
-- life, from which on he counts, and has something for the replicas to confirm.
local function again(id)
  evenIfFull()
  local h = held[id]
  h.due, h.suspect = due(h.ttl), 0
  redis.call('HSET', heldK, id, packHeld(h))
  return answer('ready', 0, grantText(id, h))
end

-- try: id, request. Takes the slots if nobody is before the request and there is room.
function step.try(id, text)
  if held[id] then return again(id) end
  settle()
  local r = cjson.decode(text)
  local first, ahead = head(), 0
  if first then
    local _, priority = seqOf(first)
    if priority <= r.priority then
      ahead = math.max(1, redis.call('ZCOUNT', lineK, '-inf', '(' .. score(r.priority + 1, 0)))
    end
  end
  local why, limit = decide(r, ahead, {})
  if why ~= 'ready' then return answer(why, ahead) end
  redis.call('HSET', dataK, id, text)
  return answer(why, 0, grantText(id, take(id, r, limit)))
end

-- line: id, request. Takes a place in the line, or the one kept for the request's key,
-- or that of a waiter with this key who misses his signs of life: he was killed;
-- returns its number, the time, its priority, since when it is there.
function step.line(id, text)
  if not held[id] and redis.call('HEXISTS', waitK, id) == 0 then
    local r = cjson.decode(text)
    local kept = r.key and redis.call('HGET', dataK, 't:' .. r.key)
    local w = kept and redis.call('HGET', waitK, kept)
    w = w and parseWait(w)
    local state = w and judge(w)
    if w and (w.aside == 2 and state ~= DEAD or w.aside == 0 and state ~= ALIVE) then
      local seq, priority = seqOf(kept)
      drop(kept)
      forget(kept)
      r.priority = priority
      join(id, text, r, seq, w.since)
    else
      join(id, text, r, 0)
    end
  end
  if held[id] then return { '0', int(now), '0', int(now), run } end
  local seq, priority = seqOf(id)
  return { int(seq), int(now), tostring(priority), parseWait(redis.call('HGET', waitK, id)).since, run }
end

-- turn: id, request, number, priority, since, gates that were asked. Takes the slots if
-- it is this ticket's turn; the sign of life of its place, which it takes again if it
-- was dropped.
function step.turn(id, text, seq, priority, since, answers)
  local stop = redis.call('HGET', dataK, 's:' .. id)
  if held[id] then
    redis.call('DEL', WAKE .. id)
    return again(id)
  end
  local r = cjson.decode(text)
  r.priority = tonumber(priority)
  local w = redis.call('HGET', waitK, id)
  if stop then
    local a = answer('stopped', 0)
    a[13] = stop
    return a
  end
  if w then
    w = parseWait(w)
    w.due, w.suspect, w.ttl, w.aside = due(TTL), 0, TTL, 0
    redis.call('HSET', waitK, id, packWait(w))
  else
    join(id, text, r, tonumber(seq), since)
  end
  settle()
  if held[id] then
    redis.call('DEL', WAKE .. id)
    return answer('ready', 0, grantText(id, held[id]))
  end
  if head() ~= id then
    soonest = nil
    return answer('behind', math.max(1, redis.call('ZRANK', lineK, id)))
  end
  local got = cjson.decode(answers)
  local why, limit = decide(r, 0, got)
  if why ~= 'ready' then return answer(why, 0) end
  local grant = grantText(id, take(id, r, limit))
  changed = true
  settle()
  return answer(why, 0, grant)
end

-- renew: id. The sign of life of a lease: ok, its stop and its keepalive, or lost.
function step.renew(id)
  evenIfFull()
  local h = held[id]
  if not h then return { 'lost', int(now), run } end
  h.due, h.suspect, h.ttl = due(TTL), 0, TTL
  redis.call('HSET', heldK, id, packHeld(h))
  settle()
  local signs = redis.call('HMGET', dataK, 's:' .. id, 'k:' .. id)
  return { 'ok', int(now), run, signs[1] or '', signs[2] or '' }
end

local function taken(slots)
  for _, h in pairs(held) do
    for s in string.gmatch(h.slots, '%d+') do
      if string.find(',' .. slots .. ',', ',' .. s .. ',', 1, true) then return true end
    end
  end
  return false
end

-- restore: id, request, child, weight, asks, token, limit, since, slots. Registers a
-- lease that this server has forgotten: as long as nobody new was let in, or if there
-- is room for it. Before that, who seems to have its slots may be one whose end was
-- forgotten. The server may also have forgotten that it had its turn in the line.
function step.restore(id, text, child, weight, asks, token, limit, since, slots)
  local r = cjson.decode(text)
  local h = {
    due = due(TTL), suspect = 0, ttl = TTL, weight = tonumber(weight), asks = tonumber(asks),
    token = token, limit = limit, since = since, slots = slots,
  }
  local room = smallest(own.limit ~= 0 and own.limit, asked, h.asks)
  local new = redis.call('HGET', poolK, 'run') == run
  if not held[id] and new and (taken(slots) or room > 0 and used + h.weight > room) then return { 'lost', int(now), run } end
  drop(id)
  unkey(r.key, id)
  redis.call('HSET', heldK, id, packHeld(h))
  redis.call('HSET', dataK, id, text)
  if child ~= '' then redis.call('HSET', dataK, 'c:' .. id, child) end
  redis.call('SADD', poolsK, r.pool)
  local known = tonumber(redis.call('HGET', poolK, 'token') or 0)
  if tonumber(token) > known then redis.call('HSET', poolK, 'token', token) end
  return { 'ok', int(now), run }
end

-- running: id, child. Records the child of a lease.
function step.running(id, child)
  if held[id] then redis.call('HSET', dataK, 'c:' .. id, child) end
  return { 'ok', int(now), run }
end

local UNSEEN = '-' -- the start of a lease that nobody was told of

-- giveBack ends a lease: its slots are free, and its start has not been, if there is one.
local function giveBack(id, start)
  local known = start ~= '' and redis.call('HGET', dataK, 'b:' .. id)
  if redis.call('HDEL', heldK, id) == 0 then
    undoStart(start, true)
    return
  end
  undoStart(known or start)
  redis.call('HDEL', dataK, 'b:' .. id)
  redis.call('HSET', poolK, 'used', int(now))
  redis.call('DEL', WAKE .. id)
  changed = true
  readHeld()
  return true
end

-- release: id, "" or its start if nothing ran, as it was told or "-". Gives the slots
-- back.
function step.release(id, start)
  evenIfFull()
  if giveBack(id, start) then forget(id) end
  settle()
  return { 'ok', int(now), run }
end

-- leave: id, key, grace. Gives a place up, or keeps it for the key; and slots that were
-- granted to it.
function step.leave(id, key, grace)
  local w = redis.call('HGET', waitK, id)
  local stopped = redis.call('HEXISTS', dataK, 's:' .. id) == 1
  if w and key ~= '' and not stopped then
    keep(id, parseWait(w), tonumber(grace))
    redis.call('HSET', dataK, 't:' .. key, id)
  elseif w then
    drop(id)
    forget(id)
    unkey(key, id)
  end
  if w then redis.call('HSET', poolK, 'used', int(now)) end
  changed = true
  local done = step.release(id, UNSEEN)
  redis.call('DEL', WAKE .. id)
  wake(id, 'left') -- whoever still listens for it can go
  redis.call('PEXPIRE', WAKE .. id, 1000)
  return done
end

-- aside: id, 1 or 0, request, number, priority, since. Lets the others pass a place, or
-- no longer; the place is taken again if it was dropped. Who goes aside gives back what
-- was granted to him unseen.
function step.aside(id, on, text, seq, priority, since)
  if held[id] and on == '0' then return { 'ok', int(now), run } end
  if held[id] then giveBack(id, UNSEEN) end
  if redis.call('HEXISTS', waitK, id) == 0 then
    local r = cjson.decode(text)
    r.priority = tonumber(priority)
    join(id, text, r, tonumber(seq), since)
  end
  local w = parseWait(redis.call('HGET', waitK, id))
  w.aside, w.ttl, w.suspect = tonumber(on), TTL, 0
  w.due = due(TTL)
  redis.call('HSET', waitK, id, packWait(w))
  changed = true
  return { 'ok', int(now), run }
end

-- set: pool, the settings that are expected, and the new ones. Says again, with those
-- that are there, when they are others.
function step.set(pool, old, new)
  if ownText ~= old then return { 'again', int(now), run, ownText } end
  if new == '' then
    redis.call('HDEL', poolK, 'own')
    own = {}
  else
    redis.call('HSET', poolK, 'own', new)
    own = decodeTable(new) or {}
  end
  redis.call('HSET', poolK, 'used', int(now))
  redis.call('SADD', poolsK, pool)
  ownText, changed = new, true
  settle()
  return { 'ok', int(now), run }
end

-- report: what the gates said, as JSON, and when is this server's business.
function step.report(text)
  redis.call('HSET', poolK, 'report', text, 'reported', int(now))
  return { 'ok', int(now), run }
end

-- stop: id, why. Leaves a request to stop; returns the record as list does.
function step.stop(id, text)
  if not held[id] and redis.call('HEXISTS', waitK, id) == 0 then return { 'none', int(now), run } end
  redis.call('HSET', dataK, 's:' .. id, text)
  if not held[id] then wake(id, 'look') end
  return step.list()
end

-- keepalive: id. Marks a holder's job as busy.
function step.keepalive(id)
  if not held[id] then
    return { redis.call('HEXISTS', waitK, id) == 1 and 'waits' or 'none', int(now), run }
  end
  redis.call('HSET', dataK, 'k:' .. id, int(now))
  return { 'ok', int(now), run }
end

local function pool()
  readStarts()
  local got = redis.call('HMGET', poolK, 'buckets', 'report', 'reported')
  return ownText, int(last), got[1] or '', got[2] or '', got[3] or '', int(recovers())
end

-- each holder: id, request, child, its state, what is held, its last keepalive.
local function holders()
  local all = {}
  for id, h in pairs(held) do
    local d = redis.call('HMGET', dataK, id, 'c:' .. id, 'k:' .. id)
    all[#all + 1] = { id, d[1] or '', d[2] or '', tostring(h.state), h.damaged and '' or packHeld(h), d[3] or '' }
  end
  return all
end

-- list: all of a pool.
function step.list()
  local line = {}
  local ids = redis.call('ZRANGE', lineK, 0, -1)
  for _, id in ipairs(ids) do
    local w = parseWait(redis.call('HGET', waitK, id))
    local state = judge(w)
    if state ~= DEAD then
      local seq, priority = seqOf(id)
      local aside = (w.aside > 0 or state == SUSPECT) and '1' or '0'
      line[#line + 1] = { id, redis.call('HGET', dataK, id), int(seq), tostring(priority), w.since, aside }
    end
  end
  local o, l, b, r, at, left = pool()
  return { 'ok', int(now), run, o, l, b, r, at, left, holders(), line }
end

-- summary: id. A pool without its line, but how long it is, and which of it that is.
function step.summary(id)
  local o, l, b, r, at, left = pool()
  local rank = redis.call('ZRANK', lineK, id)
  return { 'ok', int(now), run, o, l, b, r, at, left, holders(), {}, redis.call('ZCARD', lineK), rank and rank + 1 or 0 }
end

-- A pool without settings goes by our own hand when nobody has used it for FORGET: CI
-- makes one for every run, and nobody should have to clean up. Once in SWEEP a release
-- looks at some of the pools, and at more a minute later until it has seen all. Keys that
-- expire would be less to do, but a clock that is set forward ends them under living jobs.
local SOME, SOON = 100, 60e6

-- idle reports whether there is nobody in a pool, nor anything that still counts. Who is
-- dead is dropped first. An instant that is far ahead is of a clock that was set back.
local function idle()
  if (redis.call('HGET', poolK, 'own') or '') ~= '' then return false end
  last = nil
  readStarts()
  if math.abs(now - math.max(last, touched)) < FORGET then return false end
  if last <= now and now < last + slow / 1000 then return false end
  for _, b in ipairs(buckets) do
    if b.asked <= now and now < b.next then return false end
  end
  readHeld()
  return not next(held) and not head() and redis.call('ZCARD', lineK) == 0
end

-- forgetPool turns all of this script to another pool, so it comes last.
local function forgetPool(pool)
  local start = string.sub(poolsK, 1, -#'pools' - 1)
  poolK, heldK, lineK = start .. 'pool:' .. pool, start .. 'held:' .. pool, start .. 'line:' .. pool
  waitK, dataK = start .. 'wait:' .. pool, start .. 'data:' .. pool
  if not idle() then return end
  local token = tonumber(redis.call('HGET', poolK, 'token') or 0)
  if token > floor then
    floor = token
    redis.call('HSET', epochK, 'floor', int(floor))
  end
  redis.call('DEL', poolK, heldK, lineK, waitK, dataK)
  redis.call('SREM', poolsK, pool)
end

local function sweep()
  local swept = tonumber(epoch[5] or 0)
  if swept <= now and now < swept + SWEEP then return end
  local got = redis.call('SSCAN', poolsK, epoch[6] or '0', 'COUNT', SOME)
  for _, pool in ipairs(got[2]) do
    pcall(forgetPool, pool) -- one whose keys are not ours stays
  end
  local at = got[1] == '0' and now or now - math.max(0, SWEEP - SOON)
  redis.call('HSET', epochK, 'swept', int(at), 'cursor', got[1])
end

local result = step[ARGV[1]](unpack(ARGV, 8))
if changed and not READS then settle() end
if ARGV[1] == 'release' then pcall(sweep) end -- the slots are given back, whatever becomes of it
return result
