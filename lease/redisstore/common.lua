-- common.lua: the keys and arguments of a step, its clock, and when a record counts as dead.
--
-- A step is one script: these files, one after the other (see call.go). It decides who may
-- start, by the rule of lease.Decide, and writes what follows, all at once. rule.lua mirrors
-- that rule; the conformance suite and TestModel hold the two together. A step touches only
-- what changes, so it costs the same beside a thousand holders.
--
-- KEYS: epoch, pools; and of the pool: pool, held, due, slots, asks, ttls, line, wait,
--       data, gone
-- ARGV: the name of the step; the time after which it must not be done ('0': none); the
--       caller's TTL; the prefix of wake lists; the least recovery hold-off; after how long
--       without use a pool is forgotten; how often such pools are swept; '1' if nobody else
--       has ever used this server; then the step's own
--
-- held   id -> due suspect ttl weight asks token limit since slots
-- wait   id -> due suspect ttl aside since      (aside: 0 no, 1 suspended, 2 kept for a key)
-- line   id by priority and number
-- data   id -> request;  c:id child;  s:id stop;  k:id keepalive;  t:key -> id waiting with it;
--        b:id its start (lease.Start), followed by 'try' until the caller is known to have
--        been told of it;  o:id a record of held that cannot be read, as it was found;
--        n:id its note;  m:id the names of its slots;  r:id '1' if it is to be released;
--        a:id due suspect ttl key run due-of-the-keeper ttl-of-the-keeper adopter, of its
--        adoption: see adoption.lua
-- pool   set: settings; sum: slots in use; head: the waiter for which the line was last
--        settled; again: when the line has to be settled again though nothing has happened;
--        at: about when it was last used; own: '-', which an older berth takes for settings
--        that it cannot read; twice: '1' if two holders share a slot; token, run,
--        seq, last, buckets, count, over, slow, used, report, reported
-- Derived from held, and rebuilt when they do not fit it:
-- due    id by when its record is to be judged next
-- slots  a bit for each slot in use
-- asks   id by the limit that it requests, ttls by its TTL, if that is a long one
-- gone   id by when it ended, while a late step of its own may still arrive
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

-- Functions are in tables and not in locals: each step creates all of them, and creating one
-- costs a lookup for every local that it uses.

-- A server without memory refuses commands that may need some, but not in a script that has
-- already written something. The steps that keep, use or free slots must not fail, so they
-- begin with a write that needs none.
local MUST_SUCCEED = { renew = true, restore = true, release = true, adopt = true, disown = true, readopt = true, undo = true, leave = true }
local ownRecord = (STEP == 'try' or STEP == 'turn') and call('HGET', K.held, ARGV[9])
if MUST_SUCCEED[STEP] or ownRecord then call('HDEL', K.data, '') end

local function int(n) return string.format('%.0f', n) end

-- num reads a number, and 0 from anything else: people edit these fields, too.
local function num(v) return v and string.find(v, '^%d+$') and tonumber(v) or 0 end

local time = call('TIME')
local now = time[1] * 1e6 + time[2]

-- The network may deliver a step after its caller has given up.
local last = tonumber(ARGV[2])
if last > 0 and now > last then return { { 'late', int(now) }, {} } end

-- What the caller is told besides its answer: that a record cannot be read and is set aside
-- or dropped, or that this server evicts keys.
local notes = {}
local function note(what, key, field) notes[#notes + 1] = { what, key, field } end

-- A record is alive until its next heartbeat is due. When that is missed the record becomes
-- suspect, and only a whole TTL later it is dead. So a clock that is set forward kills
-- nothing: it makes every record suspect, and the next heartbeat of each clears it.
local liveness = { ALIVE = 0, SUSPECT = 1, DEAD = 2 }

function liveness.due(ttl) return now + ttl / 2 end

function liveness.judge(r)
  if r.due > now + r.ttl then -- the clock was set back
    r.due, r.suspect, r.changed = now + r.ttl, 0, true
  end
  if now <= r.due then
    return liveness.ALIVE
  end
  if r.aside == 2 then
    return liveness.DEAD
  end
  if r.suspect == 0 or r.suspect > now then
    r.suspect, r.changed = now, true
  end
  if now < r.suspect + r.ttl then
    return liveness.SUSPECT
  end
  return liveness.DEAD
end

-- judged is when judge may next have another answer.
function liveness.judged(r) return r.suspect > 0 and r.suspect + r.ttl or r.due end
