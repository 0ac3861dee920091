//go:build linux

package cmd

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// berthCommand is a berth with a store of its own, and no variable of ours that
// would change what it does.
func berthCommand(t *testing.T, store string, args ...string) *exec.Cmd {
	t.Helper()
	_ = os.Mkdir(store, 0o700) // or berth says that it made it
	c := exec.Command("berth", args...)
	c.Args[0] = "berth"
	c.Dir = t.TempDir()
	c.Env = slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "BERTH_") })
	c.Env = append(c.Env, "BERTH_STORE="+store, "GORACE=atexit_sleep_ms=0", "PWD="+c.Dir)
	return c
}

// must runs c, whose stderr must stay empty, and returns its stdout.
func must(t *testing.T, c *exec.Cmd) []byte {
	t.Helper()
	var out, said bytes.Buffer
	if c.Stdout == nil {
		c.Stdout = &out
	}
	c.Stderr = &said
	if err := c.Run(); err != nil || said.Len() > 0 {
		t.Fatalf("%v: %v\n%s", c.Args, err, said.Bytes())
	}
	return out.Bytes()
}

func TestArgumentsArriveByteForByte(t *testing.T) {
	t.Parallel()
	const vectors = 200
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	store := filepath.Join(t.TempDir(), "store")
	type vector struct {
		args   []string
		dashes bool
	}
	work := make(chan vector)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for v := range work {
				file := filepath.Join(t.TempDir(), "args")
				words := []string{"run", "-n", "4", "-p", "args"}
				if v.dashes {
					words = append(words, "--")
				}
				c := berthCommand(t, store, append(append(words, "job", "args", file), v.args...)...)
				if out, err := c.CombinedOutput(); err != nil || len(out) > 0 {
					t.Errorf("%q: %v\n%s", v.args, err, out)
					continue
				}
				got, err := os.ReadFile(file)
				want := strings.Join(append(slices.Clone(v.args), ""), "\x00")
				if err != nil || string(got) != want {
					t.Errorf("%v\n got %q\nwant %q", err, got, want)
				}
			}
		})
	}
	for range vectors {
		work <- vector{randomArgs(r), r.IntN(2) == 0}
	}
	close(work)
	wg.Wait()
}

func randomArgs(r *rand.Rand) []string {
	pieces := []string{
		"", " ", "\n", "\t", "'", `"`, `\`, "`", "$HOME", "$(id)", "*", "?", "~", "-", "--", "-n", "--pool=x", "=", ",",
		"a", "word", "é", "試験", "\x01", "\x1b[31m", "\x7f", "\x80", "\xff\xfe", "\xc3", "\xed\xa0\x80", "%s", "!", "#", ";", "&", "|", "\r",
	}
	args := make([]string, r.IntN(12))
	for i := range args {
		switch r.IntN(8) {
		case 0:
			args[i] = pieces[r.IntN(len(pieces))]
		case 1:
			b := make([]byte, r.IntN(2000))
			for j := range b {
				b[j] = byte(1 + r.IntN(255))
			}
			args[i] = string(b)
		default:
			for range r.IntN(6) {
				args[i] += pieces[r.IntN(len(pieces))]
			}
		}
	}
	return args
}

func TestStdinPassesUnchanged(t *testing.T) {
	t.Parallel()
	const size = 100 << 20
	want, got := sha256.New(), sha256.New()
	source := io.TeeReader(io.LimitReader(rand.NewChaCha8([32]byte{7}), size), want)
	c := berthCommand(t, filepath.Join(t.TempDir(), "store"), "run", "--", "cat")
	c.Stdin = source
	n := int64(0)
	c.Stdout = writerFunc(func(b []byte) (int, error) {
		n += int64(len(b))
		return got.Write(b)
	})
	must(t, c)
	if n != size || !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
		t.Errorf("%d of %d bytes arrived, or others", n, size)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// It prints what the descriptors of the process are: which file, which flags.
const lookAtDescriptors = `
	for fd in 0 1 2 3 4 5 6 7 8 9; do
		test -e /proc/$$/fd/$fd || { echo $fd closed; continue; }
		echo $fd $(stat -L -c '%t:%T %d:%i' /proc/$$/fd/$fd) $(sed -n 's/^flags:\t//p' /proc/$$/fdinfo/$fd)
	done`

func TestDescriptorsReachTheChild(t *testing.T) {
	store := filepath.Join(t.TempDir(), "store")
	for _, gap := range []bool{false, true} {
		t.Run(fmt.Sprintf("gap=%v", gap), func(t *testing.T) {
			files := callersFiles(t)
			if gap {
				files[2], files[5] = nil, nil // 5 and 8 are closed
			}
			run := func(words ...string) string {
				c := exec.Command(words[0], words[1:]...)
				c.Env = berthCommand(t, store).Env
				c.ExtraFiles = files
				in, err := os.Open(os.DevNull)
				if err != nil {
					t.Fatal(err)
				}
				defer in.Close()
				// 1 is the file that is 3 as well, so that it is the same in both runs.
				c.Stdin, c.Stdout, c.Stderr = in, files[0], in
				if err := files[0].Truncate(0); err != nil {
					t.Fatal(err)
				}
				if _, err := files[0].Seek(0, io.SeekStart); err != nil {
					t.Fatal(err)
				}
				if err := c.Run(); err != nil {
					t.Fatal(err)
				}
				b, err := os.ReadFile(files[0].Name())
				if err != nil {
					t.Fatal(err)
				}
				return string(b)
			}
			want := run("sh", "-c", lookAtDescriptors)
			got := run("berth", "run", "--", "sh", "-c", lookAtDescriptors)
			if got != want || strings.Count(want, "\n") != 10 {
				t.Errorf("the child has\n%swithout berth it has\n%s", got, want)
			}
			if closed := strings.Count(got, "closed"); closed != 2 && gap || closed != 0 && !gap {
				t.Errorf("%d are closed:\n%s", closed, got)
			}
		})
	}
}

// callersFiles are seven of all kinds, to be 3 to 9 of a command.
func callersFiles(t *testing.T) []*os.File {
	t.Helper()
	dir := t.TempDir()
	var files []*os.File
	keep := func(f *os.File, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		files = append(files, f)
	}
	keep(os.OpenFile(filepath.Join(dir, "append"), os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600))
	keep(os.OpenFile(filepath.Join(dir, "write"), os.O_WRONLY|os.O_CREATE, 0o600))
	keep(os.Open("/dev/zero"))
	keep(os.Open(dir))
	r, w, err := os.Pipe()
	keep(r, err)
	keep(w, err)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	keep(os.NewFile(uintptr(pair[0]), "socket"), nil)
	t.Cleanup(func() { unix.Close(pair[1]) })
	return files
}

// The child has the caller's open file itself and not another one of the same
// path: what it reads is read, for the caller too.
func TestDescriptorsShareTheirOffset(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Seek(3, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	c := berthCommand(t, filepath.Join(t.TempDir(), "store"), "run", "--", "sh", "-c", "dd bs=1 count=4 status=none <&9")
	c.ExtraFiles = []*os.File{nil, nil, nil, nil, nil, nil, f}
	if got := must(t, c); string(got) != "3456" {
		t.Errorf("the child read %q", got)
	}
	if at, err := f.Seek(0, io.SeekCurrent); at != 7 || err != nil {
		t.Errorf("the caller is at %d, %v, want 7", at, err)
	}
}

// Besides the caller's, a child has the slot's descriptor, above those that
// shells and scripts use.
func TestChildHasOneDescriptorMore(t *testing.T) {
	list := "for fd in /proc/$$/fd/*; do echo ${fd##*/} $(readlink $fd); done"
	store := filepath.Join(t.TempDir(), "store")
	lines := func(words ...string) []string {
		c := berthCommand(t, store)
		path, err := exec.LookPath(words[0])
		if err != nil {
			t.Fatal(err)
		}
		c.Path, c.Args = path, words
		return strings.Split(strings.TrimSpace(string(must(t, c))), "\n")
	}
	with := lines("berth", "run", "-p", "p", "--", "sh", "-c", list)
	without := lines("sh", "-c", list)
	more := slices.DeleteFunc(slices.Clone(with), func(l string) bool { return !strings.HasSuffix(l, " "+filepath.Join(store, "p/slots/0")) })
	if len(with) != len(without)+1 || len(more) != 1 {
		t.Fatalf("open with berth: %q\nwithout: %q", with, without)
	}
	if fd, err := strconv.Atoi(strings.Fields(more[0])[0]); err != nil || fd < 100 || fd == 255 {
		t.Errorf("the slot is descriptor %d, %v", fd, err)
	}
}

// The Go runtime opens /dev/null in place of a standard descriptor that is
// closed. That is what the child then has; it is never a file of ours.
func TestClosedStandardDescriptorsGetNoFileOfOurs(t *testing.T) {
	store := filepath.Join(t.TempDir(), "store")
	for _, closed := range []string{"0", "1", "2", "01", "012"} {
		file := filepath.Join(t.TempDir(), "open")
		redirect := ""
		for _, fd := range closed {
			redirect += fmt.Sprintf(" %c>&-", fd)
		}
		c := berthCommand(t, store)
		c.Path = "/bin/sh"
		c.Args = []string{"sh", "-c", `exec berth run -- sh -c "$0"` + redirect, `for fd in 0 1 2; do readlink /proc/$$/fd/$fd; done >` + file}
		if err := c.Run(); err != nil {
			t.Fatalf("%s: %v", redirect, err)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte(store)) {
			t.Errorf("%s: the child has\n%s", redirect, b)
		}
	}
}

// What a process inherits besides descriptors. Cut are what two processes
// never share.
const probe = `
	pwd; pwd -P; umask; ulimit -a
	cat /proc/self/limits /proc/self/oom_score_adj /proc/self/cgroup
	grep -E '^(Uid|Gid|Groups|Umask|Sig(Blk|Ign)|Cap...|NoNewPrivs|Seccomp|Cpus_allowed|Mems_allowed):' /proc/self/status
	cut -d' ' -f5-7,18,19,40,41 /proc/self/stat
	readlink /proc/self/root /proc/self/ns/*`

func TestChildInheritsTheCallersState(t *testing.T) {
	store := filepath.Join(t.TempDir(), "store")
	dir := filepath.Join(t.TempDir(), "a dir\nof the caller")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	// Of the signals that a caller can ignore, INT and HUP (those of nohup and
	// of a job in the background): the others' dispositions are gone before a
	// program in Go can look at them.
	seen := func(prefix string) string {
		c := berthCommand(t, store)
		c.Path = "/bin/sh"
		c.Args = []string{"sh", "-c", `
			cd "$1" && umask 027 && ulimit -S -n 333 && ulimit -H -n 444 && ulimit -c 0 && ulimit -s 4096 && trap "" HUP INT &&
			exec nice -n 7 ` + prefix + ` sh -c "$2"`, "sh", dir, probe}
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		return string(must(t, c))
	}
	want, got := seen(""), seen("berth run --")
	// Process group and session are those of each run's own caller.
	if pids := sessionOf(t, want); pids[0] != pids[1] {
		t.Fatalf("the caller does not lead its session: %v", pids)
	}
	if pids := sessionOf(t, got); pids[0] != pids[1] {
		t.Errorf("group and session of the child are %v, not the caller's", pids)
	}
	if a, b := withoutSession(want), withoutSession(got); a != b {
		t.Errorf("the child has\n%s\nwithout berth it has\n%s", b, a)
	}
	for _, must := range []string{dir, "0027", "333", "444", " 7 "} {
		if !strings.Contains(want, must) {
			t.Errorf("the caller's own %q is not to be seen in\n%s", must, want)
		}
	}
}

// sessionOf finds the line of /proc/self/stat, which begins with pgrp and session.
func sessionOf(t *testing.T, probed string) [2]string {
	t.Helper()
	for line := range strings.Lines(probed) {
		if f := strings.Fields(line); len(f) == 7 && isNumber(f[0]) && isNumber(f[3]) {
			return [2]string{f[0], f[1]}
		}
	}
	t.Fatalf("no line of stat in\n%s", probed)
	return [2]string{}
}

func withoutSession(probed string) string {
	var b strings.Builder
	for line := range strings.Lines(probed) {
		if f := strings.Fields(line); len(f) == 7 && isNumber(f[0]) && isNumber(f[3]) {
			line = strings.Join(f[2:], " ") + "\n"
		}
		b.WriteString(line)
	}
	return b.String()
}

func isNumber(s string) bool {
	_, err := strconv.Atoi(s)
	return err == nil
}

func TestEnvironmentIsTheCallers(t *testing.T) {
	store := filepath.Join(t.TempDir(), "store")
	env := []string{
		"PATH=" + os.Getenv("PATH"), "GORACE=atexit_sleep_ms=0", "BERTH_STORE=" + store,
		"EMPTY=", "SPACES= a  b ", "NEWLINE=a\nb", "EQUALS=a=b=c", "BYTES=\xff\xfe\x80", "=ODD=1", "NOVALUE", "lower=x", "BERTHOLD=mine", "BERTH_OF_MINE=x",
	}
	for _, words := range [][]string{
		{"run", "-n", "3", "-p", "env", "--label", "k=v w", "--timeout", "1m"},
		{"run", "-n", "3", "-p", "env", "--label", "k=v w", "--exec"},
	} {
		c := berthCommand(t, store, append(words, "--", "cat", "/proc/self/environ")...)
		c.Env = env
		var got []string
		told := map[string]string{}
		for e := range strings.SplitSeq(strings.TrimSuffix(string(must(t, c)), "\x00"), "\x00") {
			k, v, _ := strings.Cut(e, "=")
			if strings.HasPrefix(e, "BERTH_") && k != "BERTH_OF_MINE" {
				told[k] = v
			} else {
				got = append(got, e)
			}
		}
		want := slices.DeleteFunc(slices.Clone(env), func(e string) bool { return strings.HasPrefix(e, "BERTH_STORE=") })
		if !slices.Equal(got, want) {
			t.Errorf("%v: the child has\n%q\nits caller\n%q", words, got, want)
		}
		names := []string{"BERTH_LABEL_k", "BERTH_LEASE", "BERTH_LIMIT", "BERTH_POOL", "BERTH_SLOT", "BERTH_SLOTS", "BERTH_STORE", "BERTH_TOKEN"}
		if slices.Contains(words, "--timeout") {
			names = append(names, "BERTH_DEADLINE")
		}
		slices.Sort(names)
		if had := slices.Sorted(maps.Keys(told)); !slices.Equal(had, names) {
			t.Errorf("%v: told are %v, documented %v", words, had, names)
		}
		if told["BERTH_LABEL_k"] != "v w" || told["BERTH_POOL"] != "env" || told["BERTH_LIMIT"] != "3" || told["BERTH_STORE"] != store {
			t.Errorf("%v: told %v", words, told)
		}
	}
}

// A socket keeps working through berth in both directions, and is closed for
// good when the child ends: berth keeps no copy that would hold it open.
func TestSocketEndsWithTheChild(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	theirs, f := os.NewFile(uintptr(pair[0]), "theirs"), os.NewFile(uintptr(pair[1]), "ours")
	ours, err := net.FileConn(f)
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	c := berthCommand(t, filepath.Join(t.TempDir(), "store"), "run", "--", "sh", "-c", "read word <&5; echo got $word >&5")
	c.ExtraFiles = []*os.File{nil, nil, theirs}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	if _, err := ours.Write([]byte("this\n")); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(ours)
	if string(b) != "got this\n" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	var exit *exec.ExitError
	if err := c.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	} else if err != nil {
		t.Error(err)
	}
}
