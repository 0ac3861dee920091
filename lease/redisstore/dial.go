package redisstore

import (
	"crypto/tls"
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
	// Each waiter blocks one while it listens. They are made when they are needed.
	connections = 10000
)

// address is where a server listens, or Sentinels do, and who we are there.
type address struct {
	network        string   // tcp or unix
	hosts          []string // with their ports, or the path of a socket
	user, password string
	db             int
	master         string // of the Sentinels; "": it is the server itself
	sentinelUser   string
	sentinelSecret string
	tls            *tls.Config
}

// connect makes a client of what d names. No server is asked yet.
func connect(d remote.Address) (redis.UniversalClient, address, error) {
	a, err := read(d)
	if err != nil {
		return nil, a, fmt.Errorf("store %s: %w", d.Name(), err)
	}
	if a.master != "" {
		return redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: a.master, SentinelAddrs: a.hosts,
			SentinelUsername: a.sentinelUser, SentinelPassword: a.sentinelSecret,
			Username: a.user, Password: a.password, DB: a.db, TLSConfig: a.tls,
			DialTimeout: dialTime, ReadTimeout: -1, WriteTimeout: -1, ContextTimeoutEnabled: true,
			MaxRetries: -1, PoolSize: connections, Protocol: 2, DisableIdentity: true,
			DialerRetries: 2, // of the server, and in each all Sentinels as often
		}), a, nil
	}
	return redis.NewClient(&redis.Options{
		Network: a.network, Addr: a.hosts[0], Username: a.user, Password: a.password, DB: a.db, TLSConfig: a.tls,
		// Each step brings a deadline of its own, and is repeated by whoever knows
		// whether it may be.
		DialTimeout: dialTime, ReadTimeout: -1, WriteTimeout: -1, ContextTimeoutEnabled: true,
		MaxRetries: -1, PoolSize: connections, Protocol: 2, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}), a, nil
}

func read(d remote.Address) (address, error) {
	sentinel := strings.HasSuffix(d.Scheme, "+sentinel")
	a := address{network: "tcp", hosts: d.Hosts, user: d.User.Username(), password: os.Getenv("REDISCLI_AUTH")}
	if p, set := d.User.Password(); set {
		a.password = p
	}
	settings := maps.Clone(d.Settings)
	if f := settings.Get("fresh"); f != "" && f != "1" {
		return a, fmt.Errorf("fresh=%s: fresh takes only 1; leave it out unless nobody else has ever used this server", f)
	}
	delete(settings, "fresh")
	take := func(name string) string {
		defer delete(settings, name)
		return settings.Get(name)
	}
	path := strings.Trim(d.Path, "/")
	switch {
	case d.Scheme == "unix" && (len(d.Hosts) > 0 || d.Path == ""):
		return a, fmt.Errorf("unix:// takes the path of a socket, like unix:///run/redis/redis.sock")
	case d.Scheme == "unix":
		a.network, a.hosts, path = "unix", []string{d.Path}, take("db")
	case len(d.Hosts) == 0:
		a.hosts = []string{"localhost"}
	case len(d.Hosts) > 1 && !sentinel:
		return a, fmt.Errorf("%d hosts, and a server has one (Sentinels: redis+sentinel://HOST,HOST/MASTER)", len(d.Hosts))
	}
	port := redisPort
	if sentinel {
		port = sentinelPort
		a.master, path, _ = strings.Cut(path, "/")
		a.sentinelUser, a.sentinelSecret = take("sentinel_user"), take("sentinel_password")
		if a.master == "" {
			return a, fmt.Errorf("no name of a master, like redis+sentinel://HOST/MASTER")
		}
	}
	if db := take("db"); path == "" {
		path = db
	}
	if path != "" {
		n, err := strconv.Atoi(path)
		if err != nil || n < 0 {
			return a, fmt.Errorf("%q is not the number of a database", path)
		}
		a.db = n
	}
	if d.Scheme != "unix" {
		a.hosts = client.WithPort(a.hosts, port)
	}
	if err := a.secure(strings.HasPrefix(d.Scheme, "rediss"), take); err != nil {
		return a, err
	}
	return a, unknown(settings)
}

// secure reads the settings of TLS.
func (a *address) secure(on bool, take func(string) string) (err error) {
	settings := map[string]string{}
	for _, name := range []string{"cacert", "cert", "key", "insecure-skip-tls-verify"} {
		settings[name] = take(name)
		if settings[name] != "" && !on {
			return fmt.Errorf("%s is for TLS: write rediss://", name)
		}
	}
	if on {
		a.tls, err = client.Config(func(name string) string { return settings[name] })
	}
	return err
}

// unknown names a setting that nobody took.
func unknown(settings url.Values) error {
	for name := range settings {
		return fmt.Errorf("unknown setting %q (db, fresh, cacert, cert, key, insecure-skip-tls-verify, sentinel_user, sentinel_password)", name)
	}
	return nil
}
