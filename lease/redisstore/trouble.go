package redisstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"berth/lease/remote/client"
)

// classify translates an error of the client: into an UnreachableError if the same step may
// succeed later, a RefusedError if the server or its address has to be changed first, else an
// answerError.
func (s *Store) classify(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	f := s.endpoint.fault(err)
	if f.Passes && !f.Answers && !s.clock.hasAnswered() {
		f = s.endpoint.probed(f)
	}
	if f.Passes && !f.Answers && s.address.Replicas > 0 {
		f = s.alone(f)
	}
	if said := redis.Error(nil); !f.Passes && f.Hint == "" && errors.As(err, &said) {
		return &answerError{s.name, said}
	}
	return f.Of(s.name)
}

// probed returns a better explanation than f of why a server has never answered, if a probe
// finds one.
func (e *endpoint) probed(f client.Fault) client.Fault {
	if e.network != "tcp" || client.NobodyThere(f.Err) {
		return f
	}
	better := kind.Probe(context.Background(), e.hosts[0], e.tls)
	if better.Err == nil || better.Passes && e.master != "" { // another Sentinel, or the master, may have failed
		return f
	}
	return better
}

// answerError is an error that the server returned for one step. Other pools may work.
type answerError struct {
	store string
	err   error
}

func (e *answerError) Error() string { return "store " + e.store + " refuses: " + e.err.Error() }
func (e *answerError) Unwrap() error { return e.err }

// unready is the fault of a server that answers, and cannot do the step now.
func unready(hint, format string, args ...any) client.Fault {
	return client.Fault{Err: fmt.Errorf(format, args...), Hint: hint, Passes: true, Answers: true}
}

// fault explains an error of the client.
func (e *endpoint) fault(err error) client.Fault {
	if of := sentinels(err); of != nil {
		return e.ofSentinels(of)
	}
	if said := redis.Error(nil); errors.As(err, &said) {
		return e.told(said, false)
	}
	if errors.Is(err, errReplicas) {
		return unready(e.cli()+replicasHint, "%w, and --redis-wait asks for that many", err)
	}
	if f, ok := kind.TLS(e.tls, err); ok {
		return f
	}
	return e.ofNetwork(err)
}

// alone returns a better explanation than f if the server did not answer in time because it
// waits for replicas that it does not have.
func (s *Store) alone(f client.Fault) client.Fault {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second/2)
	defer cancel()
	info, err := s.client.InfoMap(ctx, "replication").Result()
	if err != nil {
		return f
	}
	n, err := strconv.Atoi(info["Replication"]["connected_slaves"])
	if err != nil || n >= s.address.Replicas {
		return f
	}
	return s.endpoint.fault(fmt.Errorf("%d of %d %w", n, s.address.Replicas, errReplicas))
}

const (
	replicasHint = " info replication shows the replicas it has; --redis-wait 0 asks for none"
	passwordHint = "the password is in REDISCLI_AUTH, or as redis://USER:PASSWORD@HOST in the URL, which wins"
	sentinelHint = "sentinel_password= in the URL is the Sentinels' own password, and sentinel_user= their user"
	clusterFact  = "it is a node of a Redis Cluster, which berth does not support"
	clusterHint  = "use a server of its own, redis://HOST:PORT, or one that Sentinels watch, redis+sentinel://HOST,HOST/MASTER"
)

// told explains an error that a server returned, or a Sentinel.
func (e *endpoint) told(err redis.Error, sentinel bool) client.Fault {
	begins := func(prefixes ...string) bool {
		for _, p := range prefixes {
			if redis.HasErrorPrefix(err, p) {
				return true
			}
		}
		return false
	}
	says := func(text string) bool { return strings.Contains(err.Error(), text) }
	who, hint := "it", passwordHint
	if sentinel {
		who, hint = "the Sentinel", sentinelHint
	}
	refusal := func(hint, format string, args ...any) client.Fault {
		return client.Fault{Err: fmt.Errorf(format+": %w", append(args, err)...), Hint: hint}
	}
	switch {
	case begins("NOAUTH") || says("unauthenticated"):
		return refusal(hint, "%s requires a password", who)
	case begins("WRONGPASS") || says("invalid password"):
		return refusal(hint, "%s does not know that user and password", who)
	case begins("NOPERM") || says("can't run this command"):
		return refusal(e.cli()+" ACL SETUSER "+e.userName()+" '~{berth}:*' '&*' +@all -@admin -@dangerous +info", "the user %s lacks a right", e.userName())
	case begins("DENIED"):
		return client.Fault{
			Err:  errors.New("it accepts no connections from other machines because it has no password (DENIED, protected mode)"),
			Hint: "give it one, with requirepass in its redis.conf, and put that in REDISCLI_AUTH",
		}
	case begins("MOVED", "ASK", "CROSSSLOT", "CLUSTERDOWN") || says("not allowed in cluster mode"):
		return refusal(clusterHint, clusterFact)
	case begins("READONLY"):
		return unready("name its master ("+e.cli()+" info replication), or Sentinels, which know it", "it is a replica: %w", err)
	case begins("NOREPLICAS"):
		return unready(e.cli()+" config get min-replicas-to-write; "+e.cli()+" info replication shows the replicas it has", "%w", err)
	case passes(err):
		return unready("", "%w", err)
	case says("DB index is out of range"):
		return refusal(e.cli()+" config get databases", "it has no database %d", e.db)
	case says("unknown command") && sentinel:
		return refusal("a server without Sentinels is redis://HOST:PORT; the port of a Sentinel is "+sentinelPort+", unless its sentinel.conf has another", "what answers there is no Sentinel")
	case says("unknown command"):
		return refusal("Redis 6 and later will do, and Valkey; if it is a Sentinel: redis+sentinel://HOST:PORT/MASTER", "it does not know a command that berth needs")
	}
	return client.Fault{Err: err}
}

func (e *endpoint) userName() string {
	if e.user == "" {
		return "default"
	}
	return e.user
}

// passes reports whether an error that the server returned comes from its present state.
func passes(err redis.Error) bool {
	return redis.IsLoadingError(err) || redis.IsReadOnlyError(err) || redis.IsClusterDownError(err) ||
		redis.IsTryAgainError(err) || redis.IsMasterDownError(err) || redis.IsMaxClientsError(err) ||
		redis.IsOOMError(err) || redis.HasErrorPrefix(err, "BUSY") || redis.HasErrorPrefix(err, "MISCONF") ||
		redis.HasErrorPrefix(err, "NOREPLICAS") || redis.HasErrorPrefix(err, "UNBLOCKED")
}

// sentinels returns the error of each Sentinel, or nil if err is about the server. The client,
// which asks all Sentinels at once, has no type for it.
func sentinels(err error) []error {
	if !strings.Contains(err.Error(), "all sentinels specified") {
		return nil
	}
	for ; err != nil; err = errors.Unwrap(err) {
		if all, ok := err.(interface{ Unwrap() []error }); ok {
			return all.Unwrap()
		}
	}
	return nil
}

// ofSentinels explains why no Sentinel has told where the master is. One that refuses says more
// than one that does not answer. That there is no such master all of them have to say, because
// one that has just started may not know it yet.
func (e *endpoint) ofSentinels(errs []error) client.Fault {
	var unknown int
	var last client.Fault
	for _, err := range errs {
		if errors.Is(err, redis.Nil) {
			unknown++
			continue
		}
		f := e.fault(err)
		if said := redis.Error(nil); errors.As(err, &said) {
			f = e.told(said, true)
		}
		if !f.Passes {
			return f
		}
		last = f
	}
	host, port, _ := net.SplitHostPort(e.hosts[0])
	ask := fmt.Sprintf("redis-cli -h %s -p %s sentinel masters", host, port)
	switch {
	case unknown == len(e.hosts):
		return client.Fault{Err: fmt.Errorf("the Sentinels know no master %q", e.master), Hint: ask}
	case unknown > 0:
		return unready(ask, "%d of %d Sentinels answer, and know no master %q; of the others: %w", unknown, len(e.hosts), e.master, last.Err)
	case len(e.hosts) == 1:
		last.Err = fmt.Errorf("the Sentinel does not answer: %w", last.Err)
	default:
		last.Err = fmt.Errorf("none of the %d Sentinels answers: %w", len(e.hosts), last.Err)
	}
	last.Hint = "is " + strings.Join(e.hosts, " or ") + " the address of a Sentinel, and reachable from here? --store or BERTH_STORE names it"
	return last
}

// ofNetwork explains an error of a connection.
func (e *endpoint) ofNetwork(err error) client.Fault {
	f := client.Network(err)
	switch text := err.Error(); {
	case e.network == "unix" && errors.Is(err, fs.ErrPermission):
		f.Passes, f.Hint = false, "ls -l "+e.hosts[0]+"; unixsocketperm in its redis.conf says who may connect"
	case e.network == "unix" && errors.Is(err, fs.ErrNotExist):
		f.Hint = "is the server up, and is that its unixsocket? --store or BERTH_STORE names it"
	case strings.HasPrefix(text, "redis: can't parse"), strings.HasPrefix(text, "redis: invalid"):
		return kind.Other()
	}
	return f
}

// cli is the command line of redis-cli for this server, without a password.
func (e *endpoint) cli() string {
	if e.master != "" || len(e.hosts) == 0 {
		return "redis-cli"
	}
	host, port, err := net.SplitHostPort(e.hosts[0])
	if err != nil { // a socket
		return "redis-cli -s " + e.hosts[0]
	}
	return "redis-cli -h " + host + " -p " + port
}
