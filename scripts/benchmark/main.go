//go:build linux

// Command benchmark measures berth beside the tools that people would use
// instead. scripts/bench builds and runs it.
//
// The machine is taken to be noisy: whatever is compared runs in turns within
// one run, in alternating order, and what is printed is the ratio of medians
// with its range over blocks of that run. No figure makes it fail.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == jobWord {
		jobMain(os.Args[2:])
		return
	}
	if loadRole(os.Args[1:]) {
		return
	}
	os.Exit(run())
}

// size is how much is measured.
type size struct {
	blocks, pairs          int // blocks of a row, interleaved pairs in each
	line, long, short      int // waiters
	longTaken, shortBlocks int // hand-overs taken from the long line, short lines for each
	watched                time.Duration
	holders, jobs          int
	remoteLine             int
	beside                 [3]int // holders of a pool on a server; 1 or more each
	idleWaiters            int
	idleWatched            time.Duration
}

var (
	full  = size{8, 60, 200, 1000, 50, 150, 3, 10 * time.Second, 1000, 300, 100, [3]int{1, 100, 1000}, 500, 30 * time.Second}
	quick = size{2, 20, 60, 200, 50, 50, 1, 2 * time.Second, 100, 60, 30, [3]int{1, 20, 100}, 50, 10 * time.Second}
)

// bench is one run of the benchmark.
type bench struct {
	size
	procs
	dir    string
	berth  string
	remote string   // berth-remote
	job    []string // the words that start the measured job
	made   int      // directories made so far
	rows   []row
	notes  []string
}

type row struct{ what, berth, peer, ratio, target, met string }

type measurement struct {
	name    string
	measure func(*bench) error
	asked   bool // only when it is named: it takes very long
}

var measurements = []measurement{
	{"start", (*bench).start, false},
	{"exec", (*bench).startExec, false},
	{"handover", (*bench).handover, false},
	{"long", (*bench).longLine, false},
	{"waiters", (*bench).waiters, false},
	{"slots", (*bench).manySlots, false},
	{"throughput", (*bench).throughput, false},
	{"remote-start", (*bench).remoteStart, false},
	{"remote-handover", (*bench).remoteHandover, false},
	{"remote-steps", (*bench).remoteSteps, false},
	{"remote-idle", (*bench).remoteIdle, false},
	{"remote-beside", (*bench).remoteBeside, false},
	{"remote-lost", (*bench).lost, true},
	{"load", (*bench).load, true},
	{"burners", (*bench).burners, true}, // parts of load
	{"eaters", (*bench).eaters, true},
}

func run() int {
	dir := flag.String("dir", "", "private `directory` with the program berth in it; removed at the end")
	isQuick := flag.Bool("quick", false, "few samples, to try the script itself")
	flag.Parse()
	if *dir == "" {
		fmt.Fprintln(os.Stderr, "bench: start it with scripts/bench")
		return 2
	}
	defer os.RemoveAll(*dir)
	for _, name := range flag.Args() {
		if !known(name) {
			fmt.Fprintf(os.Stderr, "bench: %q is no row; there are: %s %s\n", name, strings.Join(names(), " "), remoteGroup)
			return 2
		}
	}
	// Nothing here may take its own time while something else is measured.
	debug.SetGCPercent(1000)

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	b := &bench{size: full, dir: *dir, berth: filepath.Join(*dir, "berth"), remote: filepath.Join(*dir, "berth-remote")}
	if *isQuick {
		b.size = quick
	}
	err := b.measure(ctx, flag.Args())
	if ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	b.print(os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	return 0
}

func (b *bench) measure(ctx context.Context, only []string) (err error) {
	if err := b.procs.open(ctx, filepath.Join(b.dir, "stderr")); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.procs.close()) }()
	if err := b.makeJob(); err != nil {
		return err
	}
	b.machine()
	for _, m := range measurements {
		if !m.picked(only) {
			continue
		}
		fmt.Fprintf(os.Stderr, "bench: %s\n", m.name)
		if err := m.measure(b); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		if err := b.endAll(); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	b.notef("load at the end: %s", loadavg())
	return nil
}

// remoteGroup stands for all rows of servers that take no longer than others.
const remoteGroup = "remote"

// picked reports whether a row is to be measured when these were named.
func (m measurement) picked(only []string) bool {
	switch {
	case len(only) == 0:
		return !m.asked
	case slices.Contains(only, m.name):
		return true
	}
	return slices.Contains(only, remoteGroup) && strings.HasPrefix(m.name, remoteGroup+"-") && !m.asked
}

func known(name string) bool { return name == remoteGroup || slices.Contains(names(), name) }

func names() (all []string) {
	for _, m := range measurements {
		all = append(all, m.name)
	}
	return all
}

func (b *bench) notef(format string, args ...any) {
	if n := fmt.Sprintf(format, args...); !slices.Contains(b.notes, n) {
		b.notes = append(b.notes, n)
	}
}

// fresh makes a new directory, so that nothing measured meets what an earlier
// measurement left.
func (b *bench) fresh(name string) (string, error) {
	b.made++
	dir := filepath.Join(b.dir, fmt.Sprintf("%s-%d", name, b.made))
	return dir, os.Mkdir(dir, 0o700)
}

// tool is a way to run a job under a limit.
type tool struct {
	name     string
	words    []string // before the job's own
	env      []string
	rare     int  // measured in every rare-th turn only, because it is slow; 0: in all
	restless bool // its waiters use a CPU all the time
}

// berthTool is 'berth run' with these flags on a store of its own.
func (b *bench) berthTool(flags ...string) (tool, error) {
	store, err := b.fresh("store")
	return tool{
		name:  "berth",
		words: slices.Concat([]string{b.berth, "run"}, flags, []string{"--"}),
		env:   []string{"BERTH_STORE=" + store},
	}, err
}

// peer returns a tool that this machine may have or not, made by make from its
// path. One that is missing is named under the table.
func (b *bench) peer(name string, make func(path, dir string) tool) ([]tool, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		b.notef("not installed, so not measured: %s", name)
		return nil, nil
	}
	dir, err := b.fresh(name)
	if err != nil {
		return nil, err
	}
	b.version(path)
	return []tool{make(path, dir)}, nil
}

// version notes what a peer says it is: the first line of its --version or -V.
func (b *bench) version(path string) {
	for _, flag := range []string{"--version", "-V"} {
		text, err := b.output(tool{env: []string{"HOME=" + b.dir}}, path, flag)
		first, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
		if err == nil && first != "" {
			b.notef("%s: %s", filepath.Base(path), first)
			return
		}
	}
}

func flockTool(path, dir string) tool {
	return tool{name: "flock", words: []string{path, filepath.Join(dir, "lock")}}
}

func semTool(n string) func(path, dir string) tool {
	return func(path, dir string) tool {
		return tool{
			name: "sem", rare: 20,
			words: []string{path, "--id", "bench", "-j", n, "--fg"},
			env:   []string{"HOME=" + dir, "PARALLEL_HOME=" + dir},
		}
	}
}

// tspTool is task-spooler. Its first call leaves a server behind, which ends
// with everything else here.
func tspTool(path, dir string) tool {
	return tool{
		name: "tsp", words: []string{path, "-n", "-f"},
		env: []string{"TS_SOCKET=" + filepath.Join(dir, "socket"), "TMPDIR=" + dir, "TS_SLOTS=4", "TS_MAXFINISHED=10"},
	}
}

// machine notes what the figures were taken on.
func (b *bench) machine() {
	var u unix.Utsname
	_ = unix.Uname(&u)
	var fs unix.Statfs_t
	_ = unix.Statfs(b.dir, &fs)
	kind := map[int64]string{unix.EXT4_SUPER_MAGIC: "ext4", unix.BTRFS_SUPER_MAGIC: "btrfs", unix.XFS_SUPER_MAGIC: "xfs", unix.TMPFS_MAGIC: "tmpfs", unix.OVERLAYFS_SUPER_MAGIC: "overlay"}[int64(fs.Type)]
	if kind == "" {
		kind = fmt.Sprintf("file system type %#x", fs.Type)
	}
	var cpus unix.CPUSet
	_ = unix.SchedGetaffinity(0, &cpus)
	b.notef("Linux %s, %d CPUs, store on %s, load at the start: %s", unix.ByteSliceToString(u.Release[:]), cpus.Count(), kind, loadavg())
	b.notef("the job of hand-overs: %s", b.jobKind())
}

func loadavg() string {
	text, _ := os.ReadFile("/proc/loadavg")
	f := strings.Fields(string(text))
	if len(f) < 3 {
		return "unknown"
	}
	return strings.Join(f[:3], " ")
}
