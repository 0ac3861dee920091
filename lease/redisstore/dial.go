package redisstore

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"berth/lease/remote"
	"berth/lease/remote/client"
)

// Schemes are those of the URLs that Open takes.
var Schemes = []string{"redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel"}

const (
	dialTime     = 3 * time.Second
	redisPort    = "6379"
	sentinelPort = "26379"
	// maxConnections has room for one for each waiter that listens. They are made when they
	// are needed.
	maxConnections = 10000
)

// endpoint says where a server or its Sentinels listen, and how to log in there.
type endpoint struct {
	network          string   // tcp or unix
	hosts            []string // with their ports, or the path of a socket
	user, password   string
	db               int
	master           string // its name among the Sentinels; "": hosts is the server itself
	sentinelUser     string
	sentinelPassword string
	tls              *tls.Config // nil: without TLS
}

// connect makes a client for an address. It does not connect yet.
func connect(a remote.Address) (redis.UniversalClient, endpoint, error) {
	e, err := parse(a)
	if err != nil {
		return nil, e, fmt.Errorf("store %s: %w", a.Name(), err)
	}
	// Each step has a deadline of its own, and only its caller knows whether it may be
	// repeated: so the client has no time-outs, and retries nothing.
	if e.master != "" {
		return redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: e.master, SentinelAddrs: e.hosts,
			SentinelUsername: e.sentinelUser, SentinelPassword: e.sentinelPassword,
			Username: e.user, Password: e.password, DB: e.db, TLSConfig: e.tls,
			DialTimeout: dialTime, ReadTimeout: -1, WriteTimeout: -1, ContextTimeoutEnabled: true,
			MaxRetries: -1, PoolSize: maxConnections, Protocol: 2, DisableIdentity: true,
			DialerRetries: 2, // for the server, and in each of them for all Sentinels
		}), e, nil
	}
	return redis.NewClient(&redis.Options{
		Network: e.network, Addr: e.hosts[0], Username: e.user, Password: e.password, DB: e.db, TLSConfig: e.tls,
		DialTimeout: dialTime, ReadTimeout: -1, WriteTimeout: -1, ContextTimeoutEnabled: true,
		MaxRetries: -1, PoolSize: maxConnections, Protocol: 2, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}), e, nil
}

// settingsOf an address are those that have not been taken yet.
type settingsOf url.Values

func (s settingsOf) take(name string) string {
	defer url.Values(s).Del(name)
	return url.Values(s).Get(name)
}

func parse(a remote.Address) (endpoint, error) {
	e := endpoint{network: "tcp", hosts: a.Hosts, user: a.User.Username(), password: os.Getenv("REDISCLI_AUTH")}
	if p, set := a.User.Password(); set {
		e.password = p
	}
	settings := settingsOf(maps.Clone(a.Settings))
	if f := settings.take("fresh"); f != "" && f != "1" {
		return e, fmt.Errorf("fresh=%s: fresh takes only 1; leave it out unless nobody else has ever used this server", f)
	}
	db := strings.Trim(a.Path, "/")
	switch sentinel := strings.HasSuffix(a.Scheme, "+sentinel"); {
	case a.Scheme == "unix" && (len(a.Hosts) > 0 || a.Path == ""):
		return e, errors.New("unix:// takes the path of a socket, like unix:///run/redis/redis.sock")
	case a.Scheme == "unix":
		e.network, e.hosts, db = "unix", []string{a.Path}, ""
	case sentinel:
		e.hosts = hostsOf(a, sentinelPort)
		e.master, db, _ = strings.Cut(db, "/")
		e.sentinelUser, e.sentinelPassword = settings.take("sentinel_user"), settings.take("sentinel_password")
		if e.master == "" {
			return e, errors.New("the name of the master is missing, as in redis+sentinel://HOST/MASTER")
		}
	case len(a.Hosts) > 1:
		return e, fmt.Errorf("it names %d hosts, and a server has one (Sentinels: redis+sentinel://HOST,HOST/MASTER)", len(a.Hosts))
	default:
		e.hosts = hostsOf(a, redisPort)
	}
	if set := settings.take("db"); db == "" {
		db = set
	}
	n, err := strconv.Atoi(cmp.Or(db, "0"))
	if err != nil || n < 0 {
		return e, fmt.Errorf("%q is not the number of a database", db)
	}
	e.db = n
	if err := e.secure(strings.HasPrefix(a.Scheme, "rediss"), settings); err != nil {
		return e, err
	}
	for name := range settings {
		return e, fmt.Errorf("unknown setting %q (db, fresh, cacert, cert, key, insecure-skip-tls-verify, sentinel_user, sentinel_password)", name)
	}
	return e, nil
}

func hostsOf(a remote.Address, port string) []string {
	if len(a.Hosts) == 0 {
		return client.WithPort([]string{"localhost"}, port)
	}
	return client.WithPort(a.Hosts, port)
}

// secure reads the settings of TLS.
func (e *endpoint) secure(on bool, settings settingsOf) (err error) {
	given := map[string]string{}
	for _, name := range []string{"cacert", "cert", "key", "insecure-skip-tls-verify"} {
		given[name] = settings.take(name)
		if given[name] != "" && !on {
			return fmt.Errorf("%s is for TLS: write rediss://", name)
		}
	}
	if on {
		e.tls, err = client.Config(func(name string) string { return given[name] })
	}
	return err
}
