-- rule.lua: decides who may start, as lease.Decide and lease.Starts do, in microseconds.
local rule, starts = {}, { NAMES = { 'last', 'buckets', 'count', 'over', 'slow', 'used' } }

function rule.smallest(own, ...)
  local limit = 0
  for _, a in ipairs({ ... }) do
    if a > 0 and (limit == 0 or a < limit) then limit = a end
  end
  if own and (limit == 0 or own < limit) then limit = own end
  return limit
end

function starts.read()
  if starts.last then return end
  starts.last, starts.text, starts.buckets, starts.count, starts.over = num(pool.state[7]), pool.state[8] or '', {}, num(pool.state[9]), num(pool.state[10])
  starts.slow, starts.used = num(pool.state[11]), num(pool.state[12])
  for e, b, n, a in string.gmatch(starts.text, '(%d+) (%d+) (%d+) (%d+);') do
    starts.buckets[#starts.buckets + 1] = { every = tonumber(e), burst = tonumber(b), next = tonumber(n), asked = tonumber(a) }
  end
end

function starts.write()
  local text = {}
  for i, b in ipairs(starts.buckets) do
    text[i] = table.concat({ int(b.every), int(b.burst), int(b.next), int(b.asked) }, ' ') .. ';'
  end
  for i, name in ipairs(starts.NAMES) do
    local v = name == 'buckets' and table.concat(text) or name == 'used' and now or starts[name]
    pool.state[6 + i] = name == 'buckets' and v or int(v)
    pool.set(name, pool.state[6 + i])
  end
  starts.last = nil -- to be read again, as others will read it
end

function rule.paces(conditions)
  local all = {}
  for _, t in ipairs(conditions) do
    if t.ramp_ns and pool.sum >= (t.min_slots or 0) then all[#all + 1] = { every = t.ramp_ns, burst = 1 } end
    if t.rate then all[#all + 1] = { every = t.rate.every_ns, burst = t.rate.burst } end
  end
  return all
end

function starts.turn(p)
  local every = p.every / 1000
  for _, b in ipairs(starts.buckets) do
    if b.every == p.every and b.burst == p.burst and b.asked <= now then
      return math.min(b.next, now + p.burst * every)
    end
  end
  if starts.last > 0 and starts.last <= now then return starts.last + every end
  return now
end

function starts.wait(conditions)
  local wait = 0
  for _, p in ipairs(rule.paces(conditions)) do
    wait = math.max(wait, starts.turn(p) - (p.burst - 1) * p.every / 1000 - now)
  end
  return wait
end

-- add counts a start, and returns it in the form that undo takes.
function starts.add(conditions)
  starts.read()
  local kept = {}
  local function keep(b)
    for i, o in ipairs(kept) do
      if o.every == b.every and o.burst == b.burst then table.remove(kept, i) break end
    end
    kept[#kept + 1] = b
  end
  for _, b in ipairs(starts.buckets) do keep(b) end
  for _, t in ipairs(conditions) do
    local p = t.rate and { every = t.rate.every_ns, burst = t.rate.burst }
    for _, every in ipairs({ t.ramp_ns or 0, p and p.burst <= 1 and p.every or 0 }) do
      if every > DAY * 1000 then starts.slow = math.max(starts.slow, every) end
    end
    if p and p.burst > 1 then keep({ every = p.every, burst = p.burst, next = starts.turn(p), asked = now }) end
  end
  starts.buckets = {}
  for i = #kept, 1, -1 do
    local b = kept[i]
    local every = b.every / 1000
    if #starts.buckets < 16 and b.asked <= now and b.asked + math.max(DAY, b.burst * every) >= now then
      local empty = now + (b.burst - 1) * every
      if b.next > empty then starts.over = now end
      b.next = math.min(math.max(now, b.next), empty) + every
      table.insert(starts.buckets, 1, b)
    end
  end
  starts.count = starts.count + 1
  local start = table.concat({ int(now), int(starts.last), int(starts.count) }, ' ')
  starts.last = now
  starts.write()
  return start
end

-- undo is lease.Starts.Undo. A lost lease may have been given back before, so its start is
-- taken back only if it is the last one, which cannot be done twice.
function starts.undo(start, lost)
  local at, before, nth = string.match(start, '^(%d+) (%d+) (%d+)')
  if not at then return end
  at, before, nth = tonumber(at), tonumber(before), tonumber(nth)
  starts.read()
  local newest = starts.last == at and nth == starts.count
  if not newest and (lost or starts.count <= nth) then return end
  local n = starts.count - nth
  for _, b in ipairs(starts.buckets) do
    if starts.over < at and n < b.burst then
      local every = b.every / 1000
      local latest = math.max(b.next - every, starts.last + n * every)
      if n > 0 and before > 0 then latest = math.max(latest, before + (n + 1) * every) end
      b.next = math.min(b.next, latest)
    end
  end
  if newest then starts.last, starts.count = before, starts.count - 1 end
  starts.write()
end

function rule.isClear(clearance, gates)
  if not clearance.gates or clearance.last ~= starts.last or now - clearance.at > 15 * SECOND then return false end
  for _, g in ipairs(clearance.gates) do
    if g == gates then return true end
  end
  return false
end

-- full reports whether no request can start, whatever limit it has.
function rule.full()
  local limit = rule.smallest(pool.own.limit, held.smallestLimit())
  return limit > 0 and pool.sum >= limit
end

-- decide returns the reason and the limit in force.
function rule.decide(r, ahead, clearance)
  local requested = r.limit or 0
  if requested == 0 and not pool.own.limit then requested = r.fallback or 0 end
  local limit = rule.smallest(pool.own.limit, held.smallestLimit(), requested)
  if requested > 0 and r.weight > requested or pool.own.limit and pool.own.limit > 0 and r.weight > pool.own.limit then return 'too heavy', limit end
  if ahead > 0 then return 'behind', limit end
  if limit == 0 then return 'drained', limit end
  if pool.sum + r.weight > limit then return 'full', limit end
  if held.holdOff((r.ttl_ns or 0) / 1000) > 0 then return 'recovers', limit end
  starts.read()
  if starts.wait({ pool.own, r }) > 0 then return 'paced', limit end
  for _, t in ipairs({ pool.own, r }) do
    if t.gates and pool.sum >= (t.min_slots or 0) and not rule.isClear(clearance, t.gates) then return 'gated', limit end
  end
  return 'ready', limit
end
