package etcdstore

import (
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/grpclog"

	"berth/lease/clock"
	"berth/lease/remote"
	"berth/lease/remote/client"
)

const (
	defaultPort   = "2379"
	defaultPrefix = "berth"

	// A silent connection is pinged after pingAfter. gRPC allows no shorter time, and
	// etcd closes a connection that pings much more often.
	pingAfter = 10 * time.Second
	pingWaits = 2 * time.Second
	// retries by the client itself: none, because a failed call goes to another member.
	retries = 1
)

// Open opens the store at etcd://[user[:password]@]host:port[,host:port…]/prefix, or with
// TLS at etcds://…. Settings are cacert, cert, key and insecure-skip-tls-verify. What is
// missing is taken from the environment as etcdctl does (ETCDCTL_USER, ETCDCTL_PASSWORD,
// ETCDCTL_CACERT, …).
//
// It connects in the background, unless it has to log in. *lease.UnreachableError
// when no member answers the login.
func Open(a remote.Address) (*Store, error) { return OpenWith(a, Timings{}) }

// OpenWith is Open with other timings.
func OpenWith(a remote.Address, t Timings) (*Store, error) {
	cfg, err := config(a)
	if err != nil {
		return nil, err
	}
	quiet()
	s := &Store{name: a.Name(), dir: prefix(a.Path) + "/pools/", trouble: a.Trouble, notice: a.Notice, endpoints: cfg.Endpoints, tls: cfg.TLS,
		opened: timeOfDay().Sub(clock.Now()), timings: t.orDefault()}
	if cfg.Username != "" {
		s.user = &user{name: cfg.Username, password: cfg.Password}
		cfg.Username, cfg.Password = "", ""
		cfg.DialOptions = append(cfg.DialOptions, grpc.WithPerRPCCredentials(s.user))
	}
	if s.members, err = newMembers(cfg, s.user); err != nil {
		return nil, s.classify(err)
	}
	cfg.DialOptions = append(cfg.DialOptions, s.interceptors()...)
	if s.client, err = clientv3.New(cfg); err != nil {
		s.members.close()
		return nil, s.classify(err)
	}
	s.kv, s.leases = s.client.KV, pb.NewLeaseClient(s.client.ActiveConnection())
	if s.user != nil {
		if err := s.retry(s.client.Ctx(), s.logIn); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

// quiet turns off gRPC's log: errors carry what is wrong, and stderr is for those.
var quiet = sync.OnceFunc(func() {
	if os.Getenv("GRPC_GO_LOG_SEVERITY_LEVEL") == "" {
		grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard))
	}
})

func prefix(path string) string {
	if p := strings.Trim(path, "/"); p != "" {
		return p
	}
	return defaultPrefix
}

func config(a remote.Address) (clientv3.Config, error) {
	cfg := clientv3.Config{
		Logger: zap.NewNop(), DialTimeout: attemptTimeout, MaxUnaryRetries: retries,
		DialKeepAliveTime: pingAfter, DialKeepAliveTimeout: pingWaits,
	}
	for name := range a.Settings {
		if _, known := fromEnv[name]; !known {
			return cfg, fmt.Errorf("store %s: there is no setting %q (there are cacert, cert, key and insecure-skip-tls-verify)", a.Name(), name)
		}
	}
	var err error
	scheme := "http://"
	switch a.Scheme {
	case "etcd":
		for name := range a.Settings {
			return cfg, fmt.Errorf("store %s: %s is for TLS: write etcds://", a.Name(), name)
		}
	case "etcds":
		scheme = "https://"
		if cfg.TLS, err = client.Config(func(name string) string { return setting(a, name) }); err != nil {
			return cfg, fmt.Errorf("store %s: %w", a.Name(), err)
		}
	default:
		return cfg, fmt.Errorf("store %s: %q is neither etcd nor etcds", a.Name(), a.Scheme)
	}
	if len(a.Hosts) == 0 {
		return cfg, fmt.Errorf("store %s: it names no host", a.Name())
	}
	for _, h := range client.WithPort(a.Hosts, defaultPort) {
		cfg.Endpoints = append(cfg.Endpoints, scheme+h)
	}
	cfg.Username, cfg.Password = login(a.User)
	if cfg.Username != "" && cfg.Password == "" && cfg.TLS == nil {
		return cfg, fmt.Errorf("store %s: user %s has no password (ETCDCTL_PASSWORD)", a.Name(), cfg.Username)
	}
	return cfg, nil
}

func login(u *url.Userinfo) (user, password string) {
	user, password, given := strings.Cut(os.Getenv("ETCDCTL_USER"), ":")
	if !given {
		password = os.Getenv("ETCDCTL_PASSWORD")
	}
	if name := u.Username(); name != "" {
		if user != name { // ETCDCTL_USER is another user
			password = os.Getenv("ETCDCTL_PASSWORD")
		}
		user = name
	}
	if p, ok := u.Password(); ok {
		password = p
	}
	return user, password
}

var fromEnv = map[string]string{
	"cacert": "ETCDCTL_CACERT", "cert": "ETCDCTL_CERT", "key": "ETCDCTL_KEY",
	"insecure-skip-tls-verify": "ETCDCTL_INSECURE_SKIP_TLS_VERIFY",
}

func setting(a remote.Address, name string) string {
	if a.Settings.Has(name) {
		return a.Settings.Get(name)
	}
	return os.Getenv(fromEnv[name])
}
