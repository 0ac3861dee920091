package redisstore

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"berth/lease"
)

// server is what an examination finds of a server.
type server struct {
	name     string                       // of the store, for people
	cli      string                       // a command that reaches the server
	info     map[string]map[string]string // by section and name
	latency  time.Duration                // of the fastest of some answers
	ahead    time.Duration                // of its clock before ours
	replicas int                          // that have to confirm
	mute     string                       // what gives our user a right to channels; "": it has one
}

// Examine implements lease.Examiner.
func (s *Store) Examine(ctx context.Context) []lease.Finding {
	found, err := s.look(ctx)
	if err != nil {
		return []lease.Finding{lease.Ill("server", lease.Fail, err.Error(), cmp.Or(lease.HintOf(err), s.endpoint.cli()+" PING"))}
	}
	return found.judge()
}

const asked = 5 // for the fastest answer

func (s *Store) look(ctx context.Context) (server, error) {
	found := server{name: s.name, cli: s.endpoint.cli(), latency: time.Hour, replicas: s.address.Replicas}
	for range asked {
		short, cancel := context.WithTimeout(ctx, s.timings.Call)
		sent := time.Now()
		at, err := s.client.Time(short).Result()
		took := time.Since(sent)
		cancel()
		if err != nil {
			return found, s.classify(ctx, err)
		}
		if took < found.latency {
			found.latency, found.ahead = took, at.Sub(sent.Add(took/2))
		}
	}
	short, cancel := context.WithTimeout(ctx, s.timings.Call)
	defer cancel()
	info, err := s.client.InfoMap(short).Result()
	if err != nil {
		return found, s.classify(ctx, err)
	}
	found.info = info
	subscription := s.subscribe(short, nil)
	defer subscription.Close()
	if _, err := subscription.ReceiveTimeout(short, s.timings.Call); redis.HasErrorPrefix(err, "NOPERM") {
		found.mute = s.endpoint.cli() + " ACL SETUSER " + s.endpoint.userName() + " '&*'"
	}
	return found, nil
}

const (
	// slowAnswer is an answer time with which every start takes noticeably longer.
	slowAnswer = 100 * time.Millisecond
	// apart is how far two clocks may differ before what people compare is wrong: leases and
	// paces use the server's alone.
	apart = 5 * time.Second
	// nearlyFull is a share of maxmemory.
	nearlyFull = 0.9
)

// of is an entry of INFO, whatever its section.
func (s server) of(name string) string {
	for _, section := range s.info {
		if v, ok := section[name]; ok {
			return v
		}
	}
	return ""
}

func (s server) number(name string) int64 {
	n, _ := strconv.ParseInt(s.of(name), 10, 64)
	return n
}

func (s server) judge() []lease.Finding {
	return []lease.Finding{s.judgeVersion(), s.judgeLatency(), s.judgeClock(), s.judgeMemory(), s.judgePersistence(), s.judgeReplicas(), s.judgeChannels()}
}

func (s server) judgeVersion() lease.Finding {
	name, version := "Redis", s.of("redis_version")
	if v := s.of("valkey_version"); v != "" {
		name, version = "Valkey", v
	}
	fact := fmt.Sprintf("%s %s, %s", name, version, cmp.Or(s.of("redis_mode"), "mode not known"))
	major, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(major)
	switch {
	case s.of("redis_mode") == "cluster":
		return lease.Ill("server", lease.Fail, fact, "a single server, or Sentinels: berth help stores")
	case err == nil && n < 6:
		return lease.Ill("server", lease.Fail, fact, "Redis 6 or later, or Valkey")
	case s.of("loading") == "1":
		return lease.Ill("server", lease.Warn, fact+": it loads its data, and answers nobody until then", "wait")
	}
	return lease.Good("server", fact)
}

func (s server) judgeLatency() lease.Finding {
	fact := fmt.Sprintf("%.1f ms for the fastest of %d answers", float64(s.latency)/1e6, asked)
	if s.latency > slowAnswer {
		return lease.Ill("latency", lease.Warn, fact, "a server that is nearer, or a longer --ttl")
	}
	return lease.Good("latency", fact)
}

func (s server) judgeClock() lease.Finding {
	fact := fmt.Sprintf("the server's is %.1f s ahead of this machine's", s.ahead.Seconds())
	if s.ahead < 0 {
		fact = fmt.Sprintf("the server's is %.1f s behind this machine's", -s.ahead.Seconds())
	}
	if s.ahead.Abs() > apart {
		return lease.Ill("server clock", lease.Warn, fact, "keep both in step (NTP)")
	}
	return lease.Good("server clock", fact)
}

func (s server) judgeMemory() lease.Finding {
	const name = "memory"
	most, used, policy := s.number("maxmemory"), s.number("used_memory"), s.of("maxmemory_policy")
	fact := fmt.Sprintf("%d MB in use, no maxmemory (policy %s)", used>>20, policy)
	if most > 0 {
		fact = fmt.Sprintf("%d of %d MB in use, maxmemory-policy %s", used>>20, most>>20, policy)
	}
	switch {
	case most > 0 && policy != "noeviction":
		return lease.Ill(name, lease.Fail, fact+": when it is full it forgets leases, and more than N jobs run", s.cli+" CONFIG SET maxmemory-policy noeviction")
	case most > 0 && float64(used) > nearlyFull*float64(most):
		return lease.Ill(name, lease.Warn, fact+": when it is full no job starts", s.cli+" CONFIG SET maxmemory BYTES, with more bytes")
	}
	return lease.Good(name, fact)
}

func (s server) judgePersistence() lease.Finding {
	const name = "persistence"
	switch {
	case s.of("rdb_last_bgsave_status") == "err" || s.of("aof_last_write_status") == "err":
		return lease.Ill(name, lease.Fail, "the last write to its disk failed; Redis then refuses writes", "df -h on the server; its log")
	case s.of("aof_enabled") == "1":
		return lease.Good(name, "append-only file")
	}
	return lease.Good(name, "no append-only file: after a restart no job starts for 30 s, until those it has forgotten have registered again")
}

func (s server) judgeReplicas() lease.Finding {
	const name = "replicas"
	n := int(s.number("connected_slaves"))
	fact := fmt.Sprintf("%d connected", n)
	switch {
	case s.of("role") == "slave":
		return lease.Ill(name, lease.Fail, "this server is a replica of "+s.of("master_host")+", and takes no writes", "name its master, or the Sentinels: berth help stores")
	case n < s.replicas:
		return lease.Ill(name, lease.Fail, fmt.Sprintf("%s, and --redis-wait %d: no job starts", fact, s.replicas), "a replica, or a smaller --redis-wait")
	}
	return lease.Good(name, fact)
}

func (s server) judgeChannels() lease.Finding {
	if s.mute != "" {
		return lease.Ill("channels", lease.Warn, "this user has no right to them, so berth wait and berth ls --watch see changes up to 20 s late", s.mute)
	}
	return lease.Good("channels", "changes are published, and heard")
}
