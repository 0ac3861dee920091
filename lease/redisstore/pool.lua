-- Every script is this file, then its step: it reads the pool's holders, drops who
-- has shown no sign of life for too long, and knows the one rule for who may start
-- (lease.Decide, which it mirrors; the conformance suite holds the two together).
--
-- KEYS: epoch, pool, held, line, wait, data, pools
-- ARGV: the name of the step, 1 if no script of ours was known to this server, the
--       caller's TTL in microseconds, the prefix of wake lists, how long nobody new
--       starts at least when the state may be lost, how long a pool is remembered that
--       nobody uses, and how often somebody looks for such pools; then the step's own
--
-- held  id -> due suspect ttl weight asks token limit since slots
-- wait  id -> due suspect ttl aside since      (aside: 0 no, 1 stopped, 2 kept for a key)
-- line  id by priority and number
-- data  id -> request;  c:id child;  s:id stop;  k:id keepalive;  t:key -> id waiting with it;
--       b:id its start (lease.Start)
-- All instants and durations are microseconds of this server's clock, and fit a double.
local epochK, poolK, heldK, lineK, waitK, dataK, poolsK = unpack(KEYS)
local TTL, WAKE = tonumber(ARGV[3]), ARGV[4]
local FORGET, SWEEP = tonumber(ARGV[6]), tonumber(ARGV[7])
local DAY = 86400e6

local function int(n) return string.format('%.0f', n) end

local time = redis.call('TIME')
local now = time[1] * 1e6 + time[2]

-- The state is as good as this process of the server: another one may have lost the
-- last of it, or all (no persistence, a lagging replica was promoted). Holders that
-- were forgotten register again with their next renewal; nobody new starts meanwhile.
-- A server that has not seen us yet has forgotten only what is older than itself,
-- unless it was a replica: what that never got is of any age. One that was the master
-- before another one was has another history (replid) than it had.
local info, copies = redis.call('INFO', 'server'), redis.call('INFO', 'replication')
local run = string.match(info, 'run_id:(%x+)')
local history = string.match(copies, 'master_replid:(%x+)')
local epoch = redis.call('HMGET', epochK, 'run', 'at', 'name', 'history', 'swept', 'cursor', 'floor')
if epoch[1] ~= run or epoch[4] and epoch[4] ~= history then
  local at = now
  if not epoch[1] and ARGV[2] == '1' and string.find(copies, 'master_replid2:0+%s') then
    at = now - string.match(info, 'uptime_in_seconds:(%d+)') * 1e6
  end
  epoch[2], epoch[3] = int(at), int(now)
  redis.call('HSET', epochK, 'run', run, 'history', history, 'at', epoch[2], 'name', epoch[3])
elseif tonumber(epoch[2]) > now then -- the clock was set back
  epoch[2] = int(now)
  redis.call('HSET', epochK, 'at', epoch[2])
end
local forgotten = tonumber(epoch[2]) -- since when
-- FLUSHALL loses the state of a process that goes on.
run = run .. '.' .. (epoch[3] or '')
-- The highest token of all pools that are gone.
local floor = tonumber(epoch[7] or 0)

-- A sign of life is due every so often. Who misses it is suspected, and is dropped
-- only when a whole TTL has passed since: a clock that is set forward makes everybody
-- suspect at once, and each clears himself with his next sign of life.
local ALIVE, SUSPECT, DEAD = 0, 1, 2

local function due(ttl) return now + ttl / 2 end

local function judge(r)
  if r.due > now + r.ttl then -- the clock was set back
    r.due, r.suspect, r.changed = now + r.ttl, 0, true
  end
  if now <= r.due then
    return ALIVE
  end
  if r.aside == 2 then
    return DEAD
  end
  if r.suspect == 0 or r.suspect > now then
    r.suspect, r.changed = now, true
  end
  if now < r.suspect + r.ttl then
    return SUSPECT
  end
  return DEAD
end

-- soonest is when judge may say otherwise of somebody.
local soonest
local function note(r)
  local at = r.due
  if r.suspect > 0 then at = r.suspect + r.ttl end
  if not soonest or at < soonest then soonest = at end
end

local function packHeld(h)
  return table.concat({ int(h.due), int(h.suspect), int(h.ttl), int(h.weight), int(h.asks), h.token, h.limit, h.since, h.slots }, ' ')
end

local function parseHeld(v)
  local d, s, t, w, a, k, l, b, slots = string.match(v, '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) ([%d,]+)$')
  if not d then -- somebody else wrote it: it counts as one slot, which nobody knows
    return { due = now, suspect = 0, ttl = 0, weight = 1, asks = 0, token = '0', limit = '0', since = '0', slots = '', damaged = true }
  end
  return {
    due = tonumber(d), suspect = tonumber(s), ttl = tonumber(t), weight = tonumber(w), asks = tonumber(a),
    token = k, limit = l, since = b, slots = slots,
  }
end

local function packWait(w)
  return table.concat({ int(w.due), int(w.suspect), int(w.ttl), w.aside, w.since }, ' ')
end

local function parseWait(v)
  local d, s, t, a, b = string.match(v, '^(%d+) (%d+) (%d+) (%d) (%d+)$')
  if not d then d, s, t, a, b = '0', '0', '0', '2', '0' end -- dead: nobody knows who it is
  return { due = tonumber(d), suspect = tonumber(s), ttl = tonumber(t), aside = tonumber(a), since = b }
end

local held, used, asked = {}, 0, 0
local changed = false -- somebody's turn may have come

local function hold(id, h)
  held[id] = h
  used = used + h.weight
  if h.asks > 0 and (asked == 0 or h.asks < asked) then asked = h.asks end
end

local function forget(id)
  redis.call('HDEL', dataK, id, 'c:' .. id, 's:' .. id, 'k:' .. id, 'b:' .. id)
end

local READS = ARGV[1] == 'list' or ARGV[1] == 'summary'

local function readHeld()
  held, used, asked = {}, 0, 0
  local flat = redis.call('HGETALL', heldK)
  for i = 1, #flat, 2 do
    local id, h = flat[i], parseHeld(flat[i + 1])
    h.state = h.damaged and ALIVE or judge(h)
    if h.state == DEAD then
      if not READS then
        redis.call('HDEL', heldK, id)
        forget(id)
        changed = true
      end
    else
      -- Also when somebody only looks: else nobody would ever be dropped in a pool
      -- where nobody asks for slots.
      if h.changed then redis.call('HSET', heldK, id, packHeld(h)) end
      if not h.damaged then note(h) end
      hold(id, h)
    end
  end
end
readHeld()

local function decodeTable(text)
  local ok, t = pcall(cjson.decode, text)
  return ok and type(t) == 'table' and t or nil
end

-- Settings that cannot be read let nobody start.
local own = {}
local ownText = redis.call('HGET', poolK, 'own') or ''
if ownText ~= '' then own = decodeTable(ownText) or { limit = 0 } end
if type(own.limit or 0) ~= 'number' then own = { limit = 0 } end

-- longest is the TTL of the leases that may be forgotten: nobody can know one that is
-- longer than the least, the caller's own, and those that are still remembered.
local longest = math.max(TTL, tonumber(ARGV[5]))
for _, h in pairs(held) do
  if h.ttl < 3600e6 then longest = math.max(longest, h.ttl) end -- one that is stopped asks for so much
end

local function recovers(ttl) return math.max(0, forgotten + math.max(longest, ttl or 0) - now) end

local function drop(id)
  redis.call('ZREM', lineK, id)
  redis.call('HDEL', waitK, id)
end

-- unkey ends what leads from a key to a waiter.
local function unkey(key, id)
  if key and redis.call('HGET', dataK, 't:' .. key) == id then redis.call('HDEL', dataK, 't:' .. key) end
end

local function keep(id, w, grace)
  w.aside, w.ttl, w.suspect, w.due = 2, grace, 0, now + grace
  redis.call('HSET', waitK, id, packWait(w))
end

-- lapse is what becomes of a waiter who is dead: his place is kept for his key, or goes.
-- It returns whether it is kept.
local function lapse(id, w)
  local r = cjson.decode(redis.call('HGET', dataK, id) or '{}')
  if r.key and w.aside ~= 2 and redis.call('HEXISTS', dataK, 's:' .. id) == 0 then
    keep(id, w, (r.grace_ns or 0) / 1000)
    return true
  end
  drop(id)
  forget(id)
  unkey(r.key, id)
end

-- head is the first in the line who is there, and was not asked to leave.
local function head()
  local at = 0
  while true do
    local ids = redis.call('ZRANGE', lineK, at, at + 9)
    if #ids == 0 then return nil end
    for _, id in ipairs(ids) do
      local w = parseWait(redis.call('HGET', waitK, id) or '0 0 0 2 0')
      local state = judge(w)
      if state == DEAD and not READS then
        if lapse(id, w) then at = at + 1 end
      else
        if w.changed and not READS then redis.call('HSET', waitK, id, packWait(w)) end
        if w.aside ~= 1 then note(w) end
        local here = state == ALIVE and w.aside == 0
        if here and redis.call('HEXISTS', dataK, 's:' .. id) == 0 then return id, w end
        at = at + 1
      end
    end
  end
end

local function smallest(own, ...)
  local limit = 0
  for _, a in ipairs({ ... }) do
    if a > 0 and (limit == 0 or a < limit) then limit = a end
  end
  if own and (limit == 0 or own < limit) then limit = own end
  return limit
end

-- The paces: lease.Starts, in microseconds.
local last, buckets, count, over, slow, touched

local function readStarts()
  if last then return end
  local got = redis.call('HMGET', poolK, 'last', 'buckets', 'count', 'over', 'slow', 'used')
  last, buckets, count, over = tonumber(got[1] or 0), {}, tonumber(got[3] or 0), tonumber(got[4] or 0)
  slow, touched = tonumber(got[5] or 0), tonumber(got[6] or 0)
  for e, b, n, a in string.gmatch(got[2] or '', '(%d+) (%d+) (%d+) (%d+);') do
    buckets[#buckets + 1] = { every = tonumber(e), burst = tonumber(b), next = tonumber(n), asked = tonumber(a) }
  end
end

local function writeStarts()
  local text = {}
  for i, b in ipairs(buckets) do
    text[i] = table.concat({ int(b.every), b.burst, int(b.next), int(b.asked) }, ' ') .. ';'
  end
  redis.call('HSET', poolK, 'last', int(last), 'buckets', table.concat(text), 'count', int(count), 'over', int(over),
    'slow', int(slow), 'used', int(now))
  last = nil -- to be read again, as others will read it
end

local function paces(terms)
  local all = {}
  for _, t in ipairs(terms) do
    if t.ramp_ns and used >= (t.min_slots or 0) then all[#all + 1] = { every = t.ramp_ns, burst = 1 } end
    if t.rate then all[#all + 1] = { every = t.rate.every_ns, burst = t.rate.burst } end
  end
  return all
end

local function nextTurn(p)
  local every = p.every / 1000
  for _, b in ipairs(buckets) do
    if b.every == p.every and b.burst == p.burst and b.asked <= now then
      return math.min(b.next, now + p.burst * every)
    end
  end
  if last > 0 and last <= now then return last + every end
  return now
end

local function paced(terms)
  local wait = 0
  for _, p in ipairs(paces(terms)) do
    wait = math.max(wait, nextTurn(p) - (p.burst - 1) * p.every / 1000 - now)
  end
  return wait
end

-- countStart returns the start, as undoStart takes it back.
local function countStart(terms)
  readStarts()
  local kept = {}
  local function keep(b)
    for i, o in ipairs(kept) do
      if o.every == b.every and o.burst == b.burst then table.remove(kept, i) break end
    end
    kept[#kept + 1] = b
  end
  for _, b in ipairs(buckets) do keep(b) end
  for _, t in ipairs(terms) do
    local p = t.rate and { every = t.rate.every_ns, burst = t.rate.burst }
    for _, every in ipairs({ t.ramp_ns or 0, p and p.burst <= 1 and p.every or 0 }) do
      if every > DAY * 1000 then slow = math.max(slow, every) end
    end
    if p and p.burst > 1 then keep({ every = p.every, burst = p.burst, next = nextTurn(p), asked = now }) end
  end
  buckets = {}
  for i = #kept, 1, -1 do
    local b = kept[i]
    local every = b.every / 1000
    if #buckets < 16 and b.asked <= now and b.asked + math.max(DAY, b.burst * every) >= now then
      local empty = now + (b.burst - 1) * every
      if b.next > empty then over = now end
      b.next = math.min(math.max(now, b.next), empty) + every
      table.insert(buckets, 1, b)
    end
  end
  count = count + 1
  local start = table.concat({ int(now), int(last), int(count) }, ' ')
  last = now
  writeStarts()
  return start
end

-- undoStart is lease.Starts.Undo. Of a lease that is lost, and may have been given back
-- before, it takes back only the last start, which it does but once.
local function undoStart(start, lost)
  local at, before, nth = string.match(start, '^(%d+) (%d+) (%d+)$')
  if not at then return end
  at, before, nth = tonumber(at), tonumber(before), tonumber(nth)
  readStarts()
  local newest = last == at and nth == count
  if not newest and (lost or count <= nth) then return end
  local n = count - nth
  for _, b in ipairs(buckets) do
    if over < at and n < b.burst then
      local every = b.every / 1000
      local latest = math.max(b.next - every, last + n * every)
      if n > 0 and before > 0 then latest = math.max(latest, before + (n + 1) * every) end
      b.next = math.min(b.next, latest)
    end
  end
  if newest then last, count = before, count - 1 end
  writeStarts()
end

local function holds(answers, gates)
  if not answers.gates or answers.last ~= last or now - answers.at > 15e6 then return false end
  for _, g in ipairs(answers.gates) do
    if g == gates then return true end
  end
  return false
end

-- decide returns the reason and the limit in force.
local function decide(r, ahead, answers)
  local ask = r.limit or 0
  if ask == 0 and not own.limit then ask = r.fallback or 0 end
  local limit = smallest(own.limit, asked, ask)
  if ask > 0 and r.weight > ask or own.limit and own.limit > 0 and r.weight > own.limit then return 'too heavy', limit end
  if ahead > 0 then return 'behind', limit end
  if limit == 0 then return 'drained', limit end
  if used + r.weight > limit then return 'full', limit end
  if recovers((r.ttl_ns or 0) / 1000) > 0 then return 'recovers', limit end
  readStarts()
  if paced({ own, r }) > 0 then return 'paced', limit end
  for _, t in ipairs({ own, r }) do
    if t.gates and used >= (t.min_slots or 0) and not holds(answers, t.gates) then return 'gated', limit end
  end
  return 'ready', limit
end

-- nextToken starts anew, after the state was lost or the pool was forgotten, from the clock: tokens never come
-- again, and never fall unless the clock was set back as well.
local function nextToken()
  local t = redis.call('HMGET', poolK, 'token', 'run')
  if t[2] ~= run then
    redis.call('HSET', poolK, 'run', run, 'token', int(math.max(tonumber(t[1] or 0), floor, now)))
  end
  return int(redis.call('HINCRBY', poolK, 'token', 1))
end

local function take(id, r, limit)
  local taken = {}
  for _, h in pairs(held) do
    for s in string.gmatch(h.slots, '%d+') do taken[tonumber(s)] = true end
  end
  local slots, s = {}, 0
  while #slots < r.weight do
    if not taken[s] then slots[#slots + 1] = s end
    s = s + 1
  end
  local ttl = (r.ttl_ns or 0) / 1000
  local h = {
    due = due(ttl), suspect = 0, ttl = ttl, weight = r.weight, asks = r.limit or 0,
    token = nextToken(), limit = int(limit), since = int(now), slots = table.concat(slots, ','),
  }
  h.start = countStart({ own, r })
  redis.call('HSET', dataK, 'b:' .. id, h.start)
  redis.call('HSET', heldK, id, packHeld(h))
  redis.call('SADD', poolsK, r.pool)
  drop(id)
  unkey(r.key, id)
  hold(id, h)
  return h
end

local function grantText(id, h)
  local start = h.start or redis.call('HGET', dataK, 'b:' .. id) or ''
  return table.concat({ h.token, h.limit, h.since, h.slots, start }, ' ')
end

local function wake(id, text)
  redis.call('RPUSH', WAKE .. id, text)
  redis.call('PEXPIRE', WAKE .. id, DAY / 1000)
end

-- settle gives room to whoever is at the head of the line, as long as there is some.
-- Who has to do something before he can start is told to look.
local settle
function settle()
  while true do
    local id, w = head()
    if not id then return end
    local r = decodeTable(redis.call('HGET', dataK, id) or '')
    if not r or not r.weight or not r.pool then -- nobody knows what it wants
      drop(id)
      forget(id)
      return settle()
    end
    local why, limit = decide(r, 0, {})
    if why == 'ready' then
      -- With the time of the waiter's last turn: a word that he reads later than
      -- another turn is of a grant that has ended since.
      wake(id, 'granted ' .. int(w.due - w.ttl / 2) .. ' ' .. grantText(id, take(id, r, limit)))
      changed = true -- for the next in the line, who is the head now
    else
      if changed and (why == 'gated' or why == 'paced' or why == 'recovers') and redis.call('EXISTS', WAKE .. id) == 0 then
        wake(id, 'look')
      end
      return
    end
  end
end

-- answer is what every step that asks for slots returns.
local function answer(why, ahead, grant)
  readStarts()
  local got = redis.call('HGET', poolK, 'buckets') or ''
  return {
    why, int(now), run, used, asked, ahead, int(recovers()), ownText, int(last), got, grant or '',
    soonest and int(math.max(0, soonest - now)) or '', '',
  }
end

local function score(priority, seq) return int((priority + 20) * 2 ^ 46 + seq) end

-- join puts somebody into the line; seq is the place he has had, or 0. Numbers follow
-- the clock, so that they grow also after the state was lost.
local function join(id, text, r, seq, since)
  if seq == 0 then
    seq = math.max(tonumber(redis.call('HGET', poolK, 'seq') or 0) + 1, math.floor(now / 1000))
    redis.call('HSET', poolK, 'seq', int(seq))
  end
  local ttl = (r.ttl_ns or 0) / 1000
  redis.call('ZADD', lineK, score(r.priority, seq), id)
  redis.call('HSET', waitK, id, packWait({ due = due(ttl), suspect = 0, ttl = ttl, aside = 0, since = since or int(now) }))
  redis.call('HSET', dataK, id, text)
  if r.key then redis.call('HSET', dataK, 't:' .. r.key, id) end
  redis.call('SADD', poolsK, r.pool)
end

local function seqOf(id)
  local s = tonumber(redis.call('ZSCORE', lineK, id))
  return s % 2 ^ 46, math.floor(s / 2 ^ 46) - 20
end
