package redisstore

import (
	"context"
	"crypto/sha1"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"berth/lease"
)

//go:embed pool.lua
var poolScript string

//go:embed steps.lua
var stepScript string

// One script for all steps: whether this server has ever seen it tells a new server
// from one that has forgotten us.
var (
	script = poolScript + stepScript
	digest = func() string {
		sum := sha1.Sum([]byte(script))
		return hex.EncodeToString(sum[:])
	}()
)

// All keys have one hash tag, so that a pool and the epoch are on one server.
const prefix = "{berth}:"

func keysOf(pool string) []string {
	return []string{
		prefix + "epoch", prefix + "pool:" + pool, prefix + "held:" + pool, prefix + "line:" + pool,
		prefix + "wait:" + pool, prefix + "data:" + pool, prefix + "pools",
	}
}

// wakeKey is the list that wakes one waiter.
func wakeKey(id string) string { return prefix + "wake:" + id }

// call runs one step on a pool, once. It returns the answer, and when it was sent.
func (s *Store) call(ctx context.Context, pool, step string, ttl time.Duration, args ...any) (answer, time.Duration, error) {
	return s.timed(ctx, pool, step, ttl, false, args)
}

// confirm is call for a step that counts only when the replicas have it, too.
func (s *Store) confirm(ctx context.Context, pool, step string, ttl time.Duration, args ...any) (answer, time.Duration, error) {
	return s.timed(ctx, pool, step, ttl, s.dial.Replicas > 0, args)
}

func (s *Store) timed(ctx context.Context, pool, step string, ttl time.Duration, copied bool, args []any) (answer, time.Duration, error) {
	short, cancel := context.WithTimeout(ctx, s.timings.Call)
	defer cancel()
	a, sent, err := s.send(short, pool, step, ttl, copied, args)
	if err != nil && ctx.Err() != nil { // the caller's time is over, which says nothing of the server
		err = &lease.UnreachableError{Store: s.name, Err: fmt.Errorf("no answer in the time allowed: %w", context.Cause(ctx))}
	}
	return a, sent, err
}

func (s *Store) send(ctx context.Context, pool, step string, ttl time.Duration, copied bool, args []any) (answer, time.Duration, error) {
	sent := lease.Boottime()
	t := s.timings
	keys, all := keysOf(pool), append([]any{step, "0", micros(ttl), prefix + "wake:", micros(t.Recover), micros(t.Forget), micros(t.Sweep)}, args...)
	got, err := s.eval(ctx, func(c redis.Scripter) *redis.Cmd { return c.EvalSha(ctx, digest, keys, all...) }, copied)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		all[1] = "1"
		got, err = s.eval(ctx, func(c redis.Scripter) *redis.Cmd { return c.Eval(ctx, script, keys, all...) }, copied)
	}
	if err != nil {
		if ctx.Err() != nil && context.Cause(ctx) == context.DeadlineExceeded {
			err = fmt.Errorf("no answer within %v", (lease.Boottime() - sent).Round(time.Millisecond))
		}
		return nil, sent, s.trouble(context.Background(), err)
	}
	a := answer(got)
	if len(a) > 1 {
		s.clock.saw(a.micros(1))
	}
	return a, sent, nil
}

// eval runs a script; copied: with WAIT behind it on the same connection, which
// fails unless enough replicas have what the script wrote.
func (s *Store) eval(ctx context.Context, run func(redis.Scripter) *redis.Cmd, copied bool) ([]any, error) {
	if !copied {
		return run(s.client).Slice()
	}
	var got *redis.Cmd
	var have *redis.Cmd
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		got = run(p)
		have = p.Do(ctx, "WAIT", s.dial.Replicas, s.timings.Call.Milliseconds()*2/3)
		return nil
	})
	if got.Err() != nil {
		return nil, got.Err()
	}
	if err != nil {
		return nil, err
	}
	if n, err := have.Int(); err != nil || n < s.dial.Replicas {
		return nil, fmt.Errorf("%d of %d %w", n, s.dial.Replicas, errReplicas)
	}
	return got.Slice()
}

var errReplicas = errors.New("replicas have it")

// persist repeats a step through outages, until ctx ends.
func (s *Store) persist(ctx context.Context, f func(context.Context) error) error {
	return lease.Persist(ctx, s.dial.Trouble, f)
}

func micros(d time.Duration) string { return strconv.FormatInt(d.Microseconds(), 10) }

// answer is what a script returned.
type answer []any

func (a answer) text(i int) string {
	if i < len(a) {
		if s, ok := a[i].(string); ok {
			return s
		}
	}
	return ""
}

func (a answer) number(i int) int {
	if i < len(a) {
		if n, ok := a[i].(int64); ok {
			return int(n)
		}
	}
	n, _ := strconv.Atoi(a.text(i))
	return n
}

func (a answer) list(i int) []any {
	if i < len(a) {
		l, _ := a[i].([]any)
		return l
	}
	return nil
}

func (a answer) micros(i int) time.Duration { return parseMicros(a.text(i)) }

func parseMicros(s string) time.Duration {
	n, _ := strconv.ParseInt(s, 10, 64)
	return time.Duration(n) * time.Microsecond
}

// The places of what every step that asks for slots returns.
const (
	atReason = iota
	atNow
	atRun
	atUsed
	atAsked
	atAhead
	atRecovers
	atOwn
	atLast
	atBuckets
	atGrant
	atSoonest
	atStop
)

// starts reads what the pool remembers of its starts.
func (s *Store) starts(last, buckets string) lease.Starts {
	st := lease.Starts{Last: s.clock.local(parseMicros(last))}
	for b := range strings.SplitSeq(buckets, ";") {
		f := strings.Fields(b)
		if len(f) != 4 {
			continue
		}
		every, _ := strconv.ParseInt(f[0], 10, 64)
		burst, _ := strconv.Atoi(f[1])
		st.Buckets = append(st.Buckets, lease.Bucket{
			Pace: lease.Pace{Every: time.Duration(every), Burst: burst},
			Next: s.clock.local(parseMicros(f[2])), Asked: s.clock.local(parseMicros(f[3])),
		})
	}
	return st
}

// verdict is the answer in our words: the same rule, asked once more, knows the
// numbers; what it says has been decided.
func (s *Store) verdict(a answer, r lease.Request, asked lease.Asked) lease.Verdict {
	v := lease.Decide(lease.PoolState{
		Own: settings(a.text(atOwn)), Used: a.number(atUsed), Asked: a.number(atAsked), Ahead: a.number(atAhead),
		Starts: s.starts(a.text(atLast), a.text(atBuckets)), Clock: s.clock.local(a.micros(atNow)), Recovers: a.micros(atRecovers),
	}, r, asked)
	v.Reason = lease.Reason(a.text(atReason))
	return v
}
