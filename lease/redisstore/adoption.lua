-- adoption.lua: the adoption of a kept lease, by a process that runs a child under it.
--
-- It is due and dead like any record, but apart from the lease, which the keeper renews as
-- well: the lease lasts for as long as one of the two renews it. A dead adoption stays where
-- it is until the lease ends or is adopted again, and its adopter may still renew it.
local adoption = {}

function adoption.pack(a)
  return string.format('%.0f %.0f %.0f %s %s %.0f %.0f %s', a.due, a.suspect, a.ttl, a.key, a.run, a.keeper.due, a.keeper.ttl, a.by)
end

function adoption.put(id, a) call('HSET', K.data, 'a:' .. id, adoption.pack(a)) end

-- parse returns nil for what berth has not written.
function adoption.parse(v)
  local d, s, t, key, run, kd, kt, by = string.match(v, '^(%d+) (%d+) (%d+) (%w+) ([%w.]+) (%d+) (%d+) ({.*})$')
  if not d or #d > 17 or #s > 17 or #t > 16 or #kd > 17 or #kt > 16 then return nil end
  return {
    due = tonumber(d), suspect = tonumber(s), ttl = tonumber(t), key = key, run = run,
    keeper = { due = tonumber(kd), ttl = tonumber(kt), suspect = 0 }, by = by,
  }
end

-- begin is a new adoption of the lease h.
function adoption.begin(h, ttl, key, by)
  return {
    due = liveness.due(ttl), suspect = 0, ttl = ttl, key = key, run = server.run, by = by,
    keeper = { due = h.due, ttl = h.ttl, suspect = 0 },
  }
end

-- UNKNOWN is the key of an adoption that cannot be read. Its adopter writes it again with its
-- next heartbeat, so a whole TTL is left to it.
adoption.UNKNOWN = 'unknown'

-- read returns the adoption that text records, or nil, and whether it is alive.
function adoption.read(id, text)
  if not text then return nil, false end
  local a = adoption.parse(text)
  if not a then
    note('adoption', K.data, 'a:' .. id)
    local ttl = math.max(RECOVER, TTL)
    a = adoption.begin({ due = now, ttl = ttl }, ttl, adoption.UNKNOWN, '{}')
    a.changed = true
  end
  a.keeper.due = math.min(a.keeper.due, now + a.keeper.ttl) -- the clock was set back
  local alive = liveness.judge(a) ~= liveness.DEAD
  if a.changed and not READS then adoption.put(id, a) end
  return a, alive
end

function adoption.of(id) return adoption.read(id, call('HGET', K.data, 'a:' .. id)) end

function adoption.isOf(a, key) return a ~= nil and (a.key == key or a.key == adoption.UNKNOWN) end

-- hold makes the lease h last for as long as its keeper and its adopter have been told.
function adoption.hold(h, a, alive)
  h.due, h.suspect, h.ttl = a.keeper.due, 0, a.keeper.ttl
  if alive then h.due, h.ttl = math.max(h.due, a.due), math.max(h.ttl, a.ttl) end
end

-- renew writes a heartbeat: that of the keeper, or of the adopter with this key.
function adoption.renew(id, h, a, alive, key)
  local r = a.keeper
  if key ~= '' then
    r, alive, a.run = a, true, server.run
  end
  r.due, r.suspect, r.ttl = liveness.due(TTL), 0, TTL
  adoption.put(id, a)
  adoption.hold(h, a, alive)
end
