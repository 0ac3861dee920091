//go:build unix

package cmd

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"berth/lease/storetest/engine"
	"berth/scripts/testbed"
)

// TestRemoteScripts runs testdata/remote with a store on a real server: once for each
// kind, and what only one kind has from the directory of its name. Besides the
// commands of TestScripts:
//
//	store [ARG...]             start a server of this run's kind, named store, with these
//	                           arguments; from now on $BERTH_STORE is its URL
//	redis|etcd NAME [ARG...]   start a server of that kind; its URL into $NAME, HOST:PORT
//	                           into $NAME_ADDR
//	cluster [ARG...]           start an etcd of three members, named leader, follower and
//	                           other; from now on $BERTH_STORE is its URL
//	server WHAT NAME           kill, stop, start, freeze or thaw that server
//
// Nothing is shared between scripts, so that each may do to its server what it likes.
func TestRemoteScripts(t *testing.T) {
	t.Parallel()
	dir := filepath.Join("..", "testdata", "remote")
	programs := buildRemote(t)
	for kind := range engines {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			p := scripts(t)
			for _, pattern := range []string{"*.txtar", kind + "/*.txtar"} {
				files, err := filepath.Glob(filepath.Join(dir, pattern))
				if err != nil {
					t.Fatal(err)
				}
				p.Files = append(p.Files, files...)
			}
			p.Setup = func(e *testscript.Env) error { return setupRemote(e, kind, programs) }
			maps.Copy(p.Cmds, map[string]func(*testscript.TestScript, bool, []string){
				"store": cmdStore, "redis": cmdEngine("redis"), "etcd": cmdEngine("etcd"), "cluster": cmdCluster, "server": cmdServer, "wire": cmdWire,
			})
			testscript.Run(t, p)
		})
	}
}

// buildRemote returns a directory with berth-remote, which is built once. It is not made of
// the test binary, like berth: what is tested is also that this has no client.
func buildRemote(t *testing.T) string {
	dir, err := builtRemote()
	if err != nil {
		t.Fatalf("cannot build berth-remote: %v", err)
	}
	return dir
}

var builtRemote = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "berth-remote-"); err == nil {
		afterTests = append(afterTests, func() { _ = os.RemoveAll(dir) })
		_, err = testbed.Build(dir, "berth/cmd/berth-remote")
	}
	return dir, err
})

// scriptServers are what a script has besides its background.
type scriptServers struct {
	testing.TB
	kind    string
	servers map[string]*engine.Server
	wire    *wire // before the store; nil: none
}

type remoteKey struct{}

func remoteOf(ts *testscript.TestScript) *scriptServers {
	return ts.Value(remoteKey{}).(*scriptServers)
}

func setupRemote(e *testscript.Env, kind, programs string) error {
	if err := setupScript(e); err != nil {
		return err
	}
	e.Setenv("PATH", programs+string(filepath.ListSeparator)+e.Getenv("PATH"))
	e.Setenv("BERTH_STORE", "none://begin-with-store") // not a directory, where all would pass, too
	e.Values[remoteKey{}] = &scriptServers{TB: e.T().(testing.TB), kind: kind, servers: map[string]*engine.Server{}}
	return nil
}

var engines = map[string]func(t engine.T, args ...string) *engine.Server{
	"redis": func(t engine.T, args ...string) *engine.Server {
		s := engine.Redis(t, args...)
		if len(args) == 0 { // most scripts are not about a server that has just come up
			s.MarkInUse()
		}
		return s
	},
	"etcd": engine.Etcd,
}

func (r *scriptServers) start(kind, name string, args []string) (url string) {
	s := engines[kind](r.TB, args...)
	r.servers[name] = s
	return kind + "://" + s.Addr
}

func cmdStore(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: store [ARG...]")
	}
	r := remoteOf(ts)
	ts.Setenv("BERTH_STORE", r.start(r.kind, "store", args))
	ts.Setenv("store_ADDR", r.servers["store"].Addr)
}

func cmdEngine(kind string) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) == 0 {
			ts.Fatalf("usage: %s NAME [ARG...]", kind)
		}
		r := remoteOf(ts)
		ts.Setenv(args[0], r.start(kind, args[0], args[1:]))
		ts.Setenv(args[0]+"_ADDR", r.servers[args[0]].Addr)
	}
}

func cmdCluster(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: cluster [ARG...]")
	}
	r := remoteOf(ts)
	members := engine.EtcdCluster(r.TB, 3, args...)
	for end := time.Now().Add(deadline); !slices.ContainsFunc(members, (*engine.Server).Leads); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			ts.Fatalf("no leader in %v", deadline)
		}
	}
	var hosts, names = []string{}, []string{"other", "follower"}
	for _, m := range members {
		hosts = append(hosts, m.Addr)
		if m.Leads() && r.servers["leader"] == nil {
			r.servers["leader"] = m
			continue
		}
		r.servers[names[len(names)-1]] = m
		names = names[:len(names)-1]
	}
	ts.Setenv("BERTH_STORE", "etcd://"+strings.Join(hosts, ","))
}

func cmdServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 || remoteOf(ts).servers[args[1]] == nil {
		ts.Fatalf("usage: server kill|stop|start|freeze|thaw NAME")
	}
	s := remoteOf(ts).servers[args[1]]
	do := map[string]func(){"kill": s.Kill, "stop": s.Stop, "start": s.Start, "freeze": s.Freeze, "thaw": s.Thaw}[args[0]]
	if do == nil {
		ts.Fatalf("a server cannot %s", args[0])
	}
	do()
	if remoteOf(ts).Failed() {
		ts.Fatalf("server %s", strings.Join(args, " "))
	}
}
