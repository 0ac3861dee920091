-- forget.lua: release, which now and then also deletes idle pools.
--
-- A pool without settings is deleted when it has not been used for FORGET: CI makes one for
-- every run, and should not have to clean up. Once in SWEEP a release checks some of the
-- pools, and a later one more of them, until all have been checked. Keys that expire would be
-- simpler, but a clock that is set forward would end them under running jobs.
local FORGET, SWEEP = tonumber(ARGV[6]), tonumber(ARGV[7])
local SOME, SWEEP_SOON = 100, 60 * SECOND

-- idle reports whether a pool has no holder, no waiter, and no start that still counts. It
-- first drops the dead. An instant that lies far ahead is of a clock that was set back.
local function idle()
  pool.state = readState()
  if (pool.state[1] or '') ~= '' or pool.state[2] and pool.state[2] ~= CLOSED then return false end
  starts.last, held.smallest, held.firstDue = nil, false, false
  pool.sum, pool.head, pool.shared = num(pool.state[3]), pool.state[5] or '', pool.state[6] or ''
  pool.recheck = num(pool.state[13])
  starts.read()
  if math.abs(now - math.max(starts.last, starts.used)) < FORGET then return false end
  if starts.last <= now and now < starts.last + starts.slow / 1000 then return false end
  for _, b in ipairs(starts.buckets) do
    if b.asked <= now and now < b.next then return false end
  end
  if call('HLEN', K.held) ~= call('ZCARD', K.due) then held.rebuild() end
  held.sweep()
  pool.save()
  return call('HLEN', K.held) == 0 and not line.head() and call('ZCARD', K.line) == 0
end

-- forgetPool turns the whole script to another pool, so nothing may follow it.
local function forgetPool(name)
  pool.discard() -- changes of a pool before this one that failed
  local start = string.sub(K.pools, 1, -#'pools' - 1)
  local function key(kind) return start .. kind .. ':' .. name end
  K.pool, K.held, K.due, K.slots, K.asks, K.ttls = key('pool'), key('held'), key('due'), key('slots'), key('asks'), key('ttls')
  K.line, K.wait, K.data, K.gone = key('line'), key('wait'), key('data'), key('gone')
  if not idle() then return end
  local token = num(call('HGET', K.pool, 'token'))
  if token > server.floor then
    server.floor = token
    call('HSET', K.epoch, 'floor', int(server.floor))
  end
  call('DEL', K.pool, K.held, K.due, K.slots, K.asks, K.ttls, K.line, K.wait, K.data, K.gone)
  call('SREM', K.pools, name)
end

local function forgetSome()
  local swept, cursor = unpack(call('HMGET', K.epoch, 'swept', 'cursor'))
  swept = num(swept)
  if swept <= now and now < swept + SWEEP then return end
  local got = call('SSCAN', K.pools, cursor or '0', 'COUNT', SOME)
  for _, name in ipairs(got[2]) do
    pcall(forgetPool, name) -- a pool whose keys are of another kind stays
  end
  local at = got[1] == '0' and now or now - math.max(0, SWEEP - SWEEP_SOON)
  call('HSET', K.epoch, 'swept', int(at), 'cursor', got[1])
end

local result = done()
pcall(forgetSome) -- if it fails, the slots have been given back anyway
return result
