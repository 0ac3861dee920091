//go:build linux

package cmd

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

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
