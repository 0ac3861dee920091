-- A step is one script: these files, one after the other (see call.go). It decides by
-- the one rule for who may start (lease.Decide, which rule.lua mirrors; the conformance
-- suite and TestModel hold the two together) and writes what follows, all at once. It
-- touches only what changes, so that a step costs the same beside a thousand holders.
--
-- KEYS: epoch, pools; and of the pool: pool, held, due, slots, asks, ttls, line, wait,
--       data, gone
-- ARGV: the name of the step, until when it may be done ('0': whenever), the caller's TTL,
--       the prefix of wake lists, how long nobody new starts at least when the state may be
--       lost, how long a pool is remembered that nobody uses, how often somebody looks for
--       such pools, '1' if nobody else has ever used this server; then the step's own
--
-- held   id -> due suspect ttl weight asks token limit since slots
-- wait   id -> due suspect ttl aside since      (aside: 0 no, 1 stopped, 2 kept for a key)
-- line   id by priority and number
-- data   id -> request;  c:id child;  s:id stop;  k:id keepalive;  t:key -> id waiting with it;
--        b:id its start (lease.Start), and 'try' behind it while nobody was told of it;
--        o:id a record of held that cannot be read, as it was found
-- pool   set: settings; sum: slots in use; head: whom the line was last settled for,
--        and again: when that has to be done again, whoever comes;
--        at: about when it was last used; own: '-', which an older berth takes for settings
--        that it cannot read; twice: two holders have one slot; token, run,
--        seq, last, buckets, count, over, slow, used, report, reported
-- Made of held, and made anew when they do not fit it any more:
-- due    id by when its record is to be judged next
-- slots  a bit for each slot in use
-- asks   id by the limit that it asks for, ttls by its TTL, if it is a long one
-- gone   id by when it ended, while a late step of its own may still come
--
-- All instants and durations are microseconds of this server's clock, and fit a double.
local K = {
  epoch = KEYS[1], pools = KEYS[2], pool = KEYS[3], held = KEYS[4], due = KEYS[5], slots = KEYS[6],
  asks = KEYS[7], ttls = KEYS[8], line = KEYS[9], wait = KEYS[10], data = KEYS[11], gone = KEYS[12],
}
local STEP, TTL, WAKE, RECOVER = ARGV[1], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local SECOND, HOUR, DAY = 1e6, 3600e6, 86400e6
local READS = STEP == 'list' or STEP == 'holders' or STEP == 'waiters' or STEP == 'summary'
local call = redis.call

-- Functions are in tables, and not in locals, for a step makes them all: each looks up what
-- it uses among all locals that others use.

-- A server that has no memory left refuses what may need some, until a script has
-- written something: then it sees it through. What keeps or frees slots must not fail.
local KEEPS = { renew = true, restore = true, release = true, undo = true, leave = true }
local mine = (STEP == 'try' or STEP == 'turn') and call('HGET', K.held, ARGV[9])
if KEEPS[STEP] or mine then call('HDEL', K.data, '') end

local function int(n) return string.format('%.0f', n) end

-- num reads a number that a hand may have written over.
local function num(v) return v and string.find(v, '^%d+$') and tonumber(v) or 0 end

local time = call('TIME')
local now = time[1] * 1e6 + time[2]

-- The network may deliver a step after its caller has given up and left.
local last = tonumber(ARGV[2])
if last > 0 and now > last then return { { 'late', int(now) }, {} } end

-- What is said to the caller beside its answer: a record that cannot be read, and whether
-- it is set aside or dropped, or that this server throws keys away.
local notes = {}
local function note(what, key, field) notes[#notes + 1] = { what, key, field } end

-- A heartbeat is due every so often. Who misses it is suspected, and is dropped only
-- when a whole TTL has passed since: a clock that is set forward makes everybody suspect
-- at once, and each clears itself with its next heartbeat.
local life = { ALIVE = 0, SUSPECT = 1, DEAD = 2 }

function life.due(ttl) return now + ttl / 2 end

function life.judge(r)
  if r.due > now + r.ttl then -- the clock was set back
    r.due, r.suspect, r.changed = now + r.ttl, 0, true
  end
  if now <= r.due then
    return life.ALIVE
  end
  if r.aside == 2 then
    return life.DEAD
  end
  if r.suspect == 0 or r.suspect > now then
    r.suspect, r.changed = now, true
  end
  if now < r.suspect + r.ttl then
    return life.SUSPECT
  end
  return life.DEAD
end

-- judged is when judge may say otherwise.
function life.judged(r) return r.suspect > 0 and r.suspect + r.ttl or r.due end
