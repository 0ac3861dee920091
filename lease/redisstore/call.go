package redisstore

import (
	"context"
	"crypto/sha1"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"berth/lease"
	"berth/lease/clock"
	"berth/lease/retry"
)

//go:embed *.lua
var sources embed.FS

// One script for all steps, which common.lua begins.
var script, digest = func() (string, string) {
	var all strings.Builder
	for _, name := range []string{"common", "server", "pool", "renew", "held", "rule", "line", "acquire", "steps", "list", "forget"} {
		text, err := sources.ReadFile(name + ".lua")
		if err != nil {
			panic(err)
		}
		all.Write(text)
	}
	sum := sha1.Sum([]byte(all.String()))
	return all.String(), hex.EncodeToString(sum[:])
}()

// All keys have one hash tag, so that a pool and the epoch are on one server.
const prefix = "{berth}:"

func keysOf(pool string) []string {
	keys := []string{prefix + "epoch", prefix + "pools"}
	for _, kind := range []string{"pool", "held", "due", "slots", "asks", "ttls", "line", "wait", "data", "gone"} {
		keys = append(keys, prefix+kind+":"+pool)
	}
	return keys
}

// wakeKey is the list that wakes one waiter.
func wakeKey(id string) string { return prefix + "wake:" + id }

// call runs one step on a pool, once. It returns the answer, and when it was sent.
func (s *Store) call(ctx context.Context, pool, step string, ttl time.Duration, args ...any) (answer, clock.Instant, error) {
	return s.timed(ctx, pool, step, ttl, false, args)
}

// confirm is call for a step that counts only when the replicas have it, too.
func (s *Store) confirm(ctx context.Context, pool, step string, ttl time.Duration, args ...any) (answer, clock.Instant, error) {
	return s.timed(ctx, pool, step, ttl, s.dial.Replicas > 0, args)
}

func (s *Store) timed(ctx context.Context, pool, step string, ttl time.Duration, copied bool, args []any) (answer, clock.Instant, error) {
	short, cancel := context.WithTimeout(ctx, s.timings.Call)
	defer cancel()
	a, sent, err := s.send(short, pool, step, ttl, copied, args)
	var out *lease.UnreachableError
	if errors.As(err, &out) && !out.Answers && ctx.Err() != nil { // the caller's time is over, which says nothing of the server
		err = &lease.UnreachableError{Store: s.name, Err: fmt.Errorf("no answer in the time allowed: %w", context.Cause(ctx))}
	}
	return a, sent, err
}

// takes are the steps that may take something. They are not done when they come too late:
// whoever asked has gone on, or has gone.
var takes = map[string]bool{"try": true, "line": true, "turn": true, "aside": true, "restore": true}

// mostLate is how often a step is sent again that came too late by a clock that we did
// not know.
const mostLate = 3

func (s *Store) send(ctx context.Context, pool, step string, ttl time.Duration, copied bool, args []any) (answer, clock.Instant, error) {
	for range mostLate {
		sent := clock.Now()
		until := "0"
		if end, ok := ctx.Deadline(); ok && takes[step] {
			until = instant(s.clock.guess().Add(time.Until(end)))
		}
		a, err := s.run(ctx, pool, s.args(step, until, ttl, args...), copied)
		if err != nil {
			if ctx.Err() != nil && context.Cause(ctx) == context.DeadlineExceeded {
				err = fmt.Errorf("no answer within %v", clock.Now().Sub(sent).Round(time.Millisecond))
			}
			return nil, sent, s.trouble(context.Background(), err)
		}
		if a.text(0) != "late" {
			return a, sent, nil
		}
	}
	return nil, 0, &lease.UnreachableError{Store: s.name, Answers: true, Err: errors.New("each step came too late by its clock")}
}

// args are the arguments of the script.
func (s *Store) args(step, until string, ttl time.Duration, own ...any) []any {
	t := s.timings
	return append([]any{step, until, micros(ttl), prefix + "wake:", micros(t.Recover), micros(t.Forget), micros(t.Sweep), s.fresh}, own...)
}

// run runs the script, and reads what is beside its answer.
func (s *Store) run(ctx context.Context, pool string, args []any, copied bool) (answer, error) {
	keys := keysOf(pool)
	got, err := s.eval(ctx, func(c redis.Scripter) *redis.Cmd { return c.EvalSha(ctx, digest, keys, args...) }, copied)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		got, err = s.eval(ctx, func(c redis.Scripter) *redis.Cmd { return c.Eval(ctx, script, keys, args...) }, copied)
	}
	if err != nil {
		return nil, err
	}
	s.note(answer(got).list(1))
	a := answer(answer(got).list(0))
	if len(a) > 1 {
		s.clock.saw(a.instant(1))
	}
	return a, nil
}

// remedy is what removes a field at once, to be pasted into a shell: whoever can write to the
// server has chosen its name.
func (a *address) remedy(key, field string) string {
	quoted := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
	return a.cli() + " HDEL " + quoted(key) + " " + quoted(field) + " removes it"
}

// note tells once what the server said beside its answer.
func (s *Store) note(notes []any) {
	for _, n := range notes {
		said, _ := n.([]any)
		what, key, field := answer(said).text(0), answer(said).text(1), answer(said).text(2)
		text := ""
		switch what {
		case "evicts":
			text = fmt.Sprintf("store %s may throw away who holds slots when its memory is full (maxmemory-policy %s), and more than the limit could run then: %s config set maxmemory-policy noeviction", s.name, key, s.at.cli())
		case "aside":
			text = fmt.Sprintf("store %s has a record of a holder that cannot be read: %s in %s; it counts as one slot until it is known to be dead: %s", s.name, field, key, s.at.remedy(key, field))
		case "dropped":
			text = fmt.Sprintf("store %s had a record of a waiter that could not be read: %s in %s; it is removed", s.name, field, key)
		default:
			continue
		}
		if _, told := s.noted.LoadOrStore(text, true); !told && s.dial.Notice != nil {
			s.dial.Notice(errors.New(text))
		}
	}
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
	return retry.Do(ctx, s.dial.Trouble, f)
}

func micros(d time.Duration) string { return strconv.FormatInt(d.Microseconds(), 10) }

func instant(i clock.Instant) string { return micros(time.Duration(i)) }

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

func (a answer) instant(i int) clock.Instant { return parseInstant(a.text(i)) }

func parseInstant(s string) clock.Instant { return clock.Instant(parseMicros(s)) }

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
	st := lease.Starts{Last: s.clock.local(parseInstant(last))}
	for b := range strings.SplitSeq(buckets, ";") {
		f := strings.Fields(b)
		if len(f) != 4 {
			continue
		}
		every, _ := strconv.ParseInt(f[0], 10, 64)
		burst, _ := strconv.Atoi(f[1])
		st.Buckets = append(st.Buckets, lease.Bucket{
			Pace: lease.Pace{Every: time.Duration(every), Burst: burst},
			Next: s.clock.local(parseInstant(f[2])), LastUse: s.clock.local(parseInstant(f[3])),
		})
	}
	return st
}

// verdict is the answer in our words: the same rule, asked once more, knows the
// numbers; what it says has been decided.
func (s *Store) verdict(a answer, r lease.Request, asked lease.Clearance) lease.Verdict {
	v := lease.Decide(lease.PoolState{
		Own: settings(a.text(atOwn)), Used: a.number(atUsed), RequestedLimit: a.number(atAsked), Ahead: a.number(atAhead),
		Starts: s.starts(a.text(atLast), a.text(atBuckets)), Clock: s.clock.local(a.instant(atNow)), RecoveringFor: a.micros(atRecovers),
	}, r, asked)
	v.Reason = lease.Reason(a.text(atReason))
	return v
}
