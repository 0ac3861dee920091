-- renew.lua: the two most frequent steps, which need nothing of the later files.

-- The steps, by name. The comment of each says what it takes after the common arguments, and
-- what it returns.
local step = {}

-- renew: id, its child if the server does not know it. Writes the heartbeat of a lease.
-- Returns ok, its stop and its keepalive, or that it is lost or unreadable.
function step.renew(id, child)
  local h = held.known(id)
  if not h then return { h == false and 'unreadable' or 'lost', int(now), server.run } end
  local was = h.ttl
  h.due, h.suspect, h.ttl = liveness.due(TTL), 0, TTL
  held.put(id, h)
  if TTL ~= was then held.countTTL(id, TTL) end
  if child ~= '' then call('HSET', K.data, 'c:' .. id, child) end
  local inbox = call('HMGET', K.data, 's:' .. id, 'k:' .. id)
  return { 'ok', int(now), server.run, inbox[1] or '', inbox[2] or '' }
end

-- confirm: id. Returns what a waiter that was woken has been granted, as turn would. It takes
-- nothing, and is no heartbeat.
function step.confirm(id)
  local h = held.known(id)
  if not h then return { 'none', int(now), server.run } end
  local start = call('HGET', K.data, 'b:' .. id) or ''
  local grant = table.concat({ h.token, h.limit, h.since, h.slots, start }, ' ')
  return { 'ready', int(now), server.run, pool.sum, 0, 0, '0', pool.text, '0', '', grant, '', '' }
end


if STEP == 'renew' and fits and not tick then return { step.renew(ARGV[9], ARGV[10]), notes } end
if STEP == 'confirm' then return { step.confirm(ARGV[9]), notes } end

-- From here on a renewal may drop dead holders. A waiter may have its turn then, for which
-- the starts are needed.
if STEP == 'renew' then
  pool.state = readState()
  pool.recheck = num(pool.state[13])
end
