//go:build unix

package procwatch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// controlFD is what a watcher has besides 0, 1 and 2.
const controlFD = 3

// BeSide makes this process the watcher of a side command, if that is what it was started
// for: args are the arguments of this process without its name. A program that uses Side calls it
// first, and exits with that code if it was one.
func BeSide(args []string) (code int, was bool) {
	var st syscall.Stat_t
	if len(args) < 4 || args[0] != sideWord || syscall.Fstat(controlFD, &st) != nil || st.Mode&syscall.S_IFMT != syscall.S_IFSOCK {
		return 0, false
	}
	timeout, err := time.ParseDuration(args[1])
	if err != nil {
		return 0, false
	}
	grace, err := time.ParseDuration(args[2])
	if err != nil {
		return 0, false
	}
	syscall.CloseOnExec(controlFD)
	CloseInherited()
	// A signal to all processes, or to our group, is for the command, which gets it as well.
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
		if !signal.Ignored(sig) {
			signal.Notify(make(chan os.Signal, 1), sig)
		}
	}
	_ = syscall.SetNonblock(controlFD, true) // else a read would keep a thread
	control := os.NewFile(controlFD, "control")
	_, _ = control.WriteString(watchOver(args[3:], timeout, grace, control) + "\n") // an error says that nobody wants to know
	return 0, true
}

// watchOver runs the command to its end, ends what it leaves behind, and returns how it ended,
// in one line.
func watchOver(argv []string, timeout, grace time.Duration, control *os.File) string {
	c, err := StartBound(argv, nil)
	if err != nil {
		return sideFailed(err)
	}
	told := make(chan time.Duration, 1) // to end it, with that grace
	go func() {
		if n, err := control.Read(make([]byte, 1)); n == 0 || err != nil {
			grace = 0 // we are alone now
		}
		told <- grace
	}()
	timer := time.NewTimer(timeout)
	timedOut := false
	for {
		select {
		case e := <-c.Events():
			if e.Kind == Exited {
				left := len(c.Left())
				if timedOut {
					left = 0
				}
				endSide(c, grace)
				return fmt.Sprintf("ended %d %d %t %d", e.Code, e.Signal, timedOut, left)
			}
		case g := <-told:
			go endSide(c, g)
		case <-timer.C:
			timedOut = true
			go endSide(c, grace)
		}
	}
}

// endWithin bounds the end of a side command that cannot be ended, like a setuid program.
const endWithin = 5 * time.Second

func endSide(c *Child, grace time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), grace+endWithin)
	defer cancel()
	_ = c.End(ctx, syscall.SIGTERM, grace)
}

// sideFailed says why nothing was started, in one line that parseSaid understands.
func sideFailed(err error) string {
	text := strings.ReplaceAll(err.Error(), "\n", " ")
	switch {
	case errors.Is(err, ErrNotFound):
		return "absent " + text
	case errors.Is(err, ErrCannotExec):
		return "unfit " + text
	}
	return text
}
