-- renew.lua: the two most frequent steps, which need nothing of the later files.

-- The steps, by name. The comment of each says what it takes after the common arguments, and
-- what it returns.
local step = {}

-- renew: id, its child if the server does not know it, the key of an adopter or "". Writes the
-- heartbeat of a lease. Returns ok, its stop, its keepalive, and for its keeper whether it is
-- to be released and who has adopted it; or that it is lost or unreadable.
function step.renew(id, child, key)
  local h = held.known(id)
  if not h then return { h == false and 'unreadable' or 'lost', int(now), server.run } end
  local inbox = call('HMGET', K.data, 's:' .. id, 'k:' .. id, 'r:' .. id, 'a:' .. id)
  local a, adopted = adoption.read(id, inbox[4])
  if key ~= '' and (not a or a.key ~= key) then return { a and a.key == adoption.UNKNOWN and 'unreadable' or 'lost', int(now), server.run } end
  local was = h.ttl
  if a then
    adoption.renew(id, h, a, adopted, key)
  else
    h.due, h.suspect, h.ttl = liveness.due(TTL), 0, TTL
  end
  held.put(id, h)
  if h.ttl ~= was then held.countTTL(id, h.ttl) end
  if child ~= '' then call('HSET', K.data, 'c:' .. id, child) end
  if key ~= '' then return { 'ok', int(now), server.run, inbox[1] or '', inbox[2] or '' } end
  return { 'ok', int(now), server.run, inbox[1] or '', inbox[2] or '', inbox[3] or '', adopted and a.by or '' }
end

-- confirm: id. Returns what a waiter that was woken has been granted, as turn would. It takes
-- nothing, and is no heartbeat.
function step.confirm(id)
  local h = held.known(id)
  if not h then return { 'none', int(now), server.run } end
  local d = call('HMGET', K.data, 'b:' .. id, 'm:' .. id)
  local grant = table.concat({ h.token, h.limit, h.since, h.slots, d[1] or '' }, ' ')
  return { 'ready', int(now), server.run, pool.sum, 0, 0, '0', pool.text, '0', '', grant, '', '', d[2] or '' }
end


if STEP == 'renew' and fits and not tick then return { step.renew(ARGV[9], ARGV[10], ARGV[11]), notes } end
if STEP == 'confirm' then return { step.confirm(ARGV[9]), notes } end

-- From here on a renewal may drop dead holders. A waiter may have its turn then, for which
-- the starts are needed.
if STEP == 'renew' then
  pool.state = readState()
  pool.recheck = num(pool.state[13])
end
