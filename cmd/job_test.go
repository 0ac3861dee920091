//go:build unix

package cmd

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"berth/scripts/testbed"
)

// job is the command that scripts put behind berth. It says what happened to
// it in files, each line with one write, so that a kill tears none.
//
//	job record FILE NAME [DURATION]   "start NAME SLOT NS", later "end NAME SLOT NS", on one monotonic clock
//	job around FILE NAME CMD [ARG...] the same around a command, with its exit code
//	job hold FILE                     creates FILE with its pid, runs until FILE.go exists
//	job args FILE [ARG...]            writes its arguments, each followed by a NUL
//	job signals FILE                  a line for each signal; first line "ready PID"; ends when FILE.go exists
//	job closed FILE                   like hold, after closing every descriptor above 2
//	job daemon FILE                   leaves a process behind in a session of its own that does 'hold FILE' with all it inherited
//	job deaf FILE                     like hold, and ignores TERM, INT and HUP
//	job eat FILE NAME BYTES AFTER FOR  like record; takes so much memory after the one time, for the other
//	job unread - CMD [ARG...]         becomes CMD with a pipe for stderr that is full, open and not read
//	job nounlock - CMD [ARG...]       becomes CMD, for which flock(2) gives no lock back (Linux)
func actAsJob(args []string) int {
	switch {
	case len(args) < 2:
		return 2
	case args[0] == "record":
		d := time.Duration(0)
		if len(args) > 3 {
			d, _ = time.ParseDuration(args[3])
		}
		record(args[1], "start", args[2])
		time.Sleep(d)
		record(args[1], "end", args[2])
	case args[0] == "around" && len(args) > 3:
		record(args[1], "start", args[2])
		c := exec.Command(args[3], args[4:]...)
		c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
		_ = c.Run()
		record(args[1], "end", args[2])
		return testbed.ExitCode(c.ProcessState)
	case args[0] == "eat" && len(args) == 6:
		bytes, _ := strconv.Atoi(args[3])
		after, _ := time.ParseDuration(args[4])
		d, _ := time.ParseDuration(args[5])
		eat(args[1], args[2], bytes, after, d)
	case args[0] == "nounlock" && len(args) > 2:
		return nounlock(args[2:])
	case args[0] == "hold":
		hold(args[1])
	case args[0] == "args":
		var b []byte
		for _, a := range args[2:] {
			b = append(append(b, a...), 0)
		}
		if os.WriteFile(args[1], b, 0o600) != nil {
			return 1
		}
	case args[0] == "signals":
		return signals(args[1])
	case args[0] == "closed":
		for fd := 3; fd < 1024; fd++ {
			// The runtime's own poller is among them; nothing here needs it.
			_ = unix.Close(fd)
		}
		hold(args[1])
	case args[0] == "daemon":
		self, err := os.Executable()
		if err != nil {
			return 1
		}
		_, err = syscall.ForkExec(self, []string{"job", "hold", args[1]}, &syscall.ProcAttr{
			Env: os.Environ(), Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Setsid: true},
		})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		for !exists(args[1]) {
			time.Sleep(time.Millisecond)
		}
	case args[0] == "unread" && len(args) > 2:
		return unread(args[2:])
	case args[0] == "deaf":
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
		hold(args[1])
	default:
		return 2
	}
	return 0
}

// unread returns only after an error.
func unread(argv []string) int {
	var p [2]int
	path, err := exec.LookPath(argv[0])
	if err == nil {
		err = unix.Pipe(p[:]) // both ends stay open: the command has the other one, too
	}
	if err == nil {
		err = unix.SetNonblock(p[1], true)
	}
	for err == nil {
		_, err = unix.Write(p[1], []byte("x"))
	}
	if err == unix.EAGAIN {
		_ = unix.SetNonblock(p[1], false)
		if err = unix.Dup2(p[1], 2); err == nil {
			err = syscall.Exec(path, argv, os.Environ())
		}
	}
	fmt.Println(err)
	return 1
}

// maxHold ends what a failed test left behind.
const maxHold = 2 * time.Minute

func hold(file string) {
	writeWhole(file, strconv.Itoa(os.Getpid())+"\n")
	for end := time.Now().Add(maxHold); !exists(file+".go") && time.Now().Before(end); {
		time.Sleep(2 * time.Millisecond)
	}
}

func exists(file string) bool {
	_, err := os.Lstat(file)
	return err == nil
}

// writeWhole makes a file appear with its content in it.
func writeWhole(file, text string) {
	tmp := file + ".new"
	if os.WriteFile(tmp, []byte(text), 0o600) == nil {
		_ = os.Rename(tmp, file)
	}
}

// pidIn is the pid that file's text ends with, once it does: a shell's
// redirection makes the file before there is anything in it.
func pidIn(file string) (pid int, ok bool) {
	b, err := os.ReadFile(file)
	f := strings.Fields(string(b))
	if err != nil || len(f) == 0 || !strings.HasSuffix(string(b), "\n") {
		return 0, false
	}
	pid, err = strconv.Atoi(f[len(f)-1])
	return pid, err == nil && pid > 1
}

func appendText(file, text string) {
	fd, err := unix.Open(file, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err == nil {
		_, _ = unix.Write(fd, []byte(text))
		unix.Close(fd)
	}
}

func record(file, what, name string) {
	slot := os.Getenv("BERTH_SLOTS")
	if slot == "" {
		slot = "-"
	}
	appendText(file, fmt.Sprintf("%s %s %s %d\n", what, name, slot, testbed.Monotonic()))
}

func signals(file string) int {
	ch := make(chan os.Signal, 100)
	signal.Notify(ch, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGCONT, syscall.SIGWINCH)
	writeWhole(file, fmt.Sprintf("ready %d\n", os.Getpid()))
	for end := time.Now().Add(maxHold); time.Now().Before(end); {
		select {
		case s := <-ch:
			appendText(file, unix.SignalName(s.(syscall.Signal))+"\n")
		case <-time.After(2 * time.Millisecond):
			if exists(file + ".go") {
				return 0
			}
		}
	}
	return 1
}
