package redisstore

import (
	"context"
	"crypto/sha1"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"berth/lease"
	"berth/lease/clock"
	"berth/lease/retry"
)

//go:embed *.lua
var sources embed.FS

// All steps are in one script, which begins with common.lua.
var script, digest = func() (string, string) {
	var all strings.Builder
	for _, name := range []string{"common", "server", "pool", "adoption", "renew", "held", "rule", "line", "acquire", "steps", "list", "forget"} {
		text, err := sources.ReadFile(name + ".lua")
		if err != nil {
			panic(err)
		}
		all.Write(text)
	}
	sum := sha1.Sum([]byte(all.String()))
	return all.String(), hex.EncodeToString(sum[:])
}()

// All keys have the same hash tag, so that they are on one server.
const prefix = "{berth}:"

func keysOf(pool string) []string {
	keys := []string{prefix + "epoch", prefix + "pools"}
	for _, kind := range []string{"pool", "held", "due", "slots", "asks", "ttls", "line", "wait", "data", "gone"} {
		keys = append(keys, prefix+kind+":"+pool)
	}
	return keys
}

// wakeKey is the list through which a waiter is woken.
func wakeKey(id string) string { return prefix + "wake:" + id }

// call runs one step on a pool, once. It returns the answer, and when the step was sent.
func (s *Store) call(ctx context.Context, pool, step string, ttl time.Duration, args ...any) (answer, clock.Instant, error) {
	return s.timed(ctx, pool, step, ttl, false, args)
}

// confirm is call for a step that counts only when the replicas have it as well.
func (s *Store) confirm(ctx context.Context, pool, step string, ttl time.Duration, args ...any) (answer, clock.Instant, error) {
	return s.timed(ctx, pool, step, ttl, s.address.Replicas > 0, args)
}

func (s *Store) timed(ctx context.Context, pool, step string, ttl time.Duration, copied bool, args []any) (answer, clock.Instant, error) {
	short, cancel := context.WithTimeout(ctx, s.timings.Call)
	defer cancel()
	a, sent, err := s.send(short, pool, step, ttl, copied, args)
	var out *lease.UnreachableError
	if errors.As(err, &out) && !out.Answers && ctx.Err() != nil { // the caller's deadline says nothing about the server
		err = &lease.UnreachableError{Store: s.name, Err: fmt.Errorf("no answer in the time allowed: %w", context.Cause(ctx))}
	}
	return a, sent, err
}

// mayTake are the steps that may take something. The server does not do one that arrives after
// its caller has given it up.
var mayTake = map[string]bool{"try": true, "line": true, "turn": true, "aside": true, "restore": true, "adopt": true, "readopt": true}

// mostLate is how often a step is sent that the server takes for late, because our guess of its
// clock was wrong.
const mostLate = 3

func (s *Store) send(ctx context.Context, pool, step string, ttl time.Duration, copied bool, args []any) (answer, clock.Instant, error) {
	for range mostLate {
		sent := clock.Now()
		until := "0"
		if end, ok := ctx.Deadline(); ok && mayTake[step] {
			until = instant(s.clock.guess().Add(time.Until(end)))
		}
		a, err := s.run(ctx, pool, s.args(step, until, ttl, args...), copied)
		if err != nil {
			if ctx.Err() != nil && context.Cause(ctx) == context.DeadlineExceeded {
				err = fmt.Errorf("no answer within %v", clock.Now().Sub(sent).Round(time.Millisecond))
			}
			return nil, sent, s.classify(context.Background(), err)
		}
		if a.text(0) != "late" {
			return a, sent, nil
		}
	}
	return nil, 0, &lease.UnreachableError{Store: s.name, Answers: true, Err: errors.New("by its clock every request arrives too late")}
}

// args are the arguments of the script; see common.lua.
func (s *Store) args(step, until string, ttl time.Duration, own ...any) []any {
	t := s.timings
	return append([]any{step, until, micros(ttl), prefix + "wake:", micros(t.Recover), micros(t.Forget), micros(t.Sweep), s.fresh}, own...)
}

// run runs the script, and reads the server's notices and time beside its answer.
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

// eval runs a script. With copied it sends WAIT after it on the same connection, and fails
// unless enough replicas have what the script wrote.
func (s *Store) eval(ctx context.Context, run func(redis.Scripter) *redis.Cmd, copied bool) ([]any, error) {
	if !copied {
		return run(s.client).Slice()
	}
	var got *redis.Cmd
	var have *redis.Cmd
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		got = run(p)
		have = p.Do(ctx, "WAIT", s.address.Replicas, s.timings.Call.Milliseconds()*2/3)
		return nil
	})
	if got.Err() != nil {
		return nil, got.Err()
	}
	if err != nil {
		return nil, err
	}
	if n, err := have.Int(); err != nil || n < s.address.Replicas {
		return nil, fmt.Errorf("%d of %d %w", n, s.address.Replicas, errReplicas)
	}
	return got.Slice()
}

var errReplicas = errors.New("replicas have it")

// retry repeats a step through outages, until ctx ends.
func (s *Store) retry(ctx context.Context, f func(context.Context) error) error {
	return retry.Do(ctx, s.address.Trouble, f)
}
