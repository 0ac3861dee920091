package cmd

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// edges are the packages there are and what each imports of this module, on any system.
// lease and procwatch are leaves and meet only in cmd and below it; siblings never
// meet, but for cmd/text, cmd/storename and cmd/tty, which others of cmd may use.
var edges = map[string][]string{
	"berth":                  {"berth/cmd"},
	"berth/cmd":              {"berth/cmd/doctor", "berth/lease/clock", "berth/cmd/detached", "berth/cmd/gates", "berth/cmd/handover", "berth/cmd/hooks", "berth/cmd/job", "berth/cmd/wait", "berth/cmd/manual", "berth/cmd/open", "berth/cmd/stopping", "berth/cmd/storename", "berth/cmd/text", "berth/cmd/tokenfile", "berth/cmd/tty", "berth/cmd/view", "berth/cmd/words", "berth/limiter", "berth/lease", "berth/lease/retry", "berth/lease/remote", "berth/limiter/gate", "berth/procwatch"},
	"berth/cmd/manual":       {},
	"berth/cmd/doctor":       {"berth/lease", "berth/limiter/gate"},
	"berth/cmd/detached":     {},
	"berth/cmd/gates":        {"berth/cmd/text", "berth/lease", "berth/limiter", "berth/limiter/gate", "berth/procwatch"},
	"berth/cmd/handover":     {"berth/procwatch"},
	"berth/cmd/hooks":        {"berth/procwatch"},
	"berth/cmd/job":          {"berth/cmd/text", "berth/cmd/tty", "berth/lease", "berth/lease/clock", "berth/limiter", "berth/procwatch"},
	"berth/cmd/text":         {},
	"berth/cmd/tty":          {},
	"berth/cmd/wait":         {"berth/cmd/text", "berth/cmd/tty", "berth/lease", "berth/lease/clock", "berth/lease/retry", "berth/limiter"},
	"berth/cmd/view":         {"berth/cmd/text", "berth/lease", "berth/limiter/gate", "berth/procwatch"},
	"berth/cmd/open":         {"berth/cmd/storename", "berth/cmd/tty", "berth/lease", "berth/lease/filestore", "berth/lease/remote", "berth/procwatch"},
	"berth/cmd/stopping":     {"berth/cmd/text", "berth/cmd/tty", "berth/lease", "berth/procwatch"},
	"berth/cmd/tokenfile":    {},
	"berth/cmd/storename":    {"berth/cmd/text", "berth/lease", "berth/lease/remote"},
	"berth/cmd/words":        {"berth/cmd/storename", "berth/cmd/text", "berth/cmd/tty", "berth/lease", "berth/lease/remote", "berth/limiter/gate", "berth/procwatch"},
	"berth/cmd/berth-remote": {"berth/cmd", "berth/cmd/open", "berth/lease", "berth/lease/remote", "berth/lease/redisstore", "berth/lease/etcdstore"},
	"berth/limiter":          {"berth/lease", "berth/lease/retry"},
	"berth/limiter/gate":     {"berth/lease"},
	"berth/lease":            {"berth/lease/clock"},
	"berth/lease/clock":      {},
	"berth/lease/filestore":  {"berth/lease"},
	"berth/lease/memstore":   {"berth/lease"},
	"berth/lease/retry":      {"berth/lease"},
	"berth/lease/remote":     {},
	"berth/lease/redisstore": {"berth/lease", "berth/lease/retry", "berth/lease/remote", "berth/lease/remote/client"},
	"berth/lease/etcdstore":  {"berth/lease", "berth/lease/retry", "berth/lease/remote", "berth/lease/remote/client"},
	"berth/lease/storetest":  {"berth/lease"},

	"berth/lease/remote/client":    {"berth/lease"},
	"berth/lease/storetest/engine": {},
	"berth/procwatch":              {},
	"berth/scripts/benchmark":      {"berth/lease", "berth/lease/remote", "berth/lease/redisstore", "berth/lease/etcdstore", "berth/limiter"},
	"berth/scripts/model":          {},
	"berth/scripts/storm":          {"berth/lease/storetest/engine", "berth/scripts/testbed"},
	"berth/scripts/testbed":        {},
}

// only says who alone may import a package from elsewhere.
var only = map[string][]string{
	"github.com/urfave/cli/v2":              {"berth/cmd/words"},
	"github.com/gofrs/flock":                {"berth/cmd/tokenfile"},
	"github.com/redis/go-redis/v9":          {"berth/lease/redisstore"},
	"go.etcd.io/etcd":                       {"berth/lease/etcdstore"},
	"google.golang.org/grpc":                {"berth/lease/etcdstore"},
	"go.uber.org/zap":                       {"berth/lease/etcdstore"},
	"os/exec":                               {"berth/scripts/benchmark", "berth/scripts/storm", "berth/scripts/testbed", "berth/lease/storetest/engine"},
	"github.com/shirou/gopsutil":            {"berth/limiter/gate", "berth/procwatch"},
	"github.com/shirou/gopsutil/v3/process": {"berth/procwatch"},
}

// withLease: instants come with the records that have them.
func withLease(pkg string, allowed []string) bool {
	return pkg == "berth/lease/clock" && slices.Contains(allowed, "berth/lease")
}

func TestLayout(t *testing.T) {
	imported := map[string][]string{}
	for _, goos := range []string{"linux", "darwin", "freebsd", "windows"} {
		list := exec.Command("go", "list", "-json=ImportPath,Imports", "berth/...")
		list.Env = append(list.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
		out, err := list.Output()
		if err != nil {
			t.Fatal(err)
		}
		for d := json.NewDecoder(strings.NewReader(string(out))); ; {
			var p struct {
				ImportPath string
				Imports    []string
			}
			if err := d.Decode(&p); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			allowed, known := edges[p.ImportPath]
			if !known {
				t.Errorf("%s is not in the list of packages: say what it may import", p.ImportPath)
			}
			imported[p.ImportPath] = append(imported[p.ImportPath], p.Imports...)
			for _, i := range p.Imports {
				if (i == "berth" || strings.HasPrefix(i, "berth/")) && !slices.Contains(allowed, i) && !withLease(i, allowed) {
					t.Errorf("%s imports %s", p.ImportPath, i)
				}
				for pkg, who := range only {
					if (i == pkg || strings.HasPrefix(i, pkg+"/")) && !slices.Contains(who, p.ImportPath) {
						t.Errorf("%s imports %s, only %v may", p.ImportPath, i, who)
					}
				}
			}
		}
	}
	for pkg, allowed := range edges {
		if imported[pkg] == nil {
			t.Errorf("%s is in the list of packages and is no package", pkg)
		}
		for _, i := range allowed {
			if !slices.Contains(imported[pkg], i) {
				t.Errorf("%s does not import %s: take it off the list", pkg, i)
			}
		}
	}
}

// atTop is all that the top of the repository holds.
var atTop = []string{
	".ci", ".gitignore", "README.md", "go.mod", "go.sum", "main.go",
	"cmd", "lease", "limiter", "procwatch", "scripts", "testdata",
}

func TestLayoutTop(t *testing.T) {
	if _, err := os.Stat("../.git"); err != nil {
		t.Skip("not a checkout of the repository: ", err)
	}
	out, err := exec.Command("git", "-C", "..", "ls-files", "-z").Output()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, path := range strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		top, _, _ := strings.Cut(path, "/")
		found[top] = true
	}
	for top := range found {
		if !slices.Contains(atTop, top) {
			t.Errorf("%s does not belong at the top of the repository", top)
		}
	}
	for _, top := range atTop {
		if !found[top] {
			t.Errorf("%s is missing at the top of the repository", top)
		}
	}
}

// TestClientsAreElsewhere: the clients of servers cost every start of the program
// that they are in, whether it uses them or not.
func TestClientsAreElsewhere(t *testing.T) {
	for pkg, wanted := range map[string]bool{"berth": false, "berth/cmd/berth-remote": true} {
		out, err := exec.Command("go", "list", "-deps", pkg).Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, client := range []string{"crypto/tls", "github.com/redis/go-redis/v9", "go.etcd.io/etcd/client/v3", "google.golang.org/grpc"} {
			if found := slices.Contains(strings.Fields(string(out)), client); found != wanted {
				t.Errorf("go list -deps %s: %s: %t, want %t", pkg, client, found, wanted)
			}
		}
	}
}
