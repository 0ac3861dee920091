-- The steps, by name. Each opens with what it takes after the common arguments, and returns.
local step = {}

-- renew: id, its child if it is not known yet. The heartbeat of a lease: ok, its stop and
-- its keepalive, or that it is lost, or unreadable.
function step.renew(id, child)
  local h = held.known(id)
  if not h then return { h == false and 'unreadable' or 'lost', int(now), server.run } end
  local was = h.ttl
  h.due, h.suspect, h.ttl = life.due(TTL), 0, TTL
  held.put(id, h)
  if TTL ~= was then held.countTTL(id, TTL) end
  if child ~= '' then call('HSET', K.data, 'c:' .. id, child) end
  local signs = call('HMGET', K.data, 's:' .. id, 'k:' .. id)
  return { 'ok', int(now), server.run, signs[1] or '', signs[2] or '' }
end

-- confirm: id. What a waiter that was woken has been granted, as a turn would say it; it
-- takes nothing, and is no heartbeat.
function step.confirm(id)
  local h = held.known(id)
  if not h then return { 'none', int(now), server.run } end
  local start = call('HGET', K.data, 'b:' .. id) or ''
  local grant = table.concat({ h.token, h.limit, h.since, h.slots, start }, ' ')
  return { 'ready', int(now), server.run, pool.sum, 0, 0, '0', pool.text, '0', '', grant, '', '' }
end

-- Most steps are these, and need nothing of what follows.
if STEP == 'renew' and whole and not tick then return { step.renew(ARGV[9], ARGV[10]), notes } end
if STEP == 'confirm' then return { step.confirm(ARGV[9]), notes } end

-- Who is dropped from here on may give somebody a turn, which the starts decide.
if STEP == 'renew' then
  pool.state = readState()
  pool.again = num(pool.state[13])
end
