//go:build unix

package tty

import (
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestClassOf is the table again, in the words of who relies on it.
func TestClassOf(t *testing.T) {
	for _, c := range []struct {
		signals                  []syscall.Signal
		alone, running, leftover Class
	}{
		{[]syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT}, Terminate, Forward, Terminate},
		{[]syscall.Signal{syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM}, Terminate, Forward, Ignore},
		{[]syscall.Signal{syscall.SIGTSTP}, Suspend, Suspend, Suspend},
		{[]syscall.Signal{syscall.SIGCONT}, Resume, Resume, Resume},
		{[]syscall.Signal{syscall.SIGWINCH}, Ignore, Forward, Ignore},
		{[]syscall.Signal{syscall.SIGPIPE, syscall.SIGCHLD, syscall.SIGURG}, Ignore, Ignore, Ignore},
	} {
		for _, sig := range c.signals {
			for p, want := range map[Phase]Class{Alone: c.alone, Running: c.running, Leftover: c.leftover} {
				if got := ClassOf(sig, p); got != want {
					t.Errorf("%s in phase %d: class %d, want %d", unix.SignalName(sig), p, got, want)
				}
			}
		}
	}
	for _, sig := range slices.Concat(BeforeStart, AfterStart) {
		if _, ok := classes[sig.(syscall.Signal)]; !ok {
			t.Errorf("%v is caught and has no class", sig)
		}
	}
}

// TestAlsoPending: signals wait as the kernel has them wait.
func TestAlsoPending(t *testing.T) {
	const i, term, tstp, cont = syscall.SIGINT, syscall.SIGTERM, syscall.SIGTSTP, syscall.SIGCONT
	for _, c := range []struct{ came, want []syscall.Signal }{
		{nil, nil},
		{[]syscall.Signal{i, term, i}, []syscall.Signal{i, term}},
		{[]syscall.Signal{tstp, cont}, []syscall.Signal{cont}},
		{[]syscall.Signal{cont, tstp}, []syscall.Signal{cont, tstp}},
		{[]syscall.Signal{cont, i, tstp, cont}, []syscall.Signal{cont, i}},
		{[]syscall.Signal{tstp, i, cont, tstp}, []syscall.Signal{i, cont, tstp}},
	} {
		var got []syscall.Signal
		for _, sig := range c.came {
			got = alsoPending(got, sig)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%v: pending are %v, want %v", c.came, got, c.want)
		}
	}
}

// TestSignalsAreNotLost: a process that is busy finds a TERM behind a thousand CONTs.
func TestSignalsAreNotLost(t *testing.T) {
	b := NewSignals()
	b.Start(nil, nil, nil)
	for range 1000 {
		b.Requeue(CONT)
	}
	b.Requeue(syscall.SIGTERM)
	b.Requeue(syscall.SIGWINCH)
	if left := b.Close(); !slices.Equal(left, []syscall.Signal{CONT, syscall.SIGTERM, WINCH}) {
		t.Errorf("left are %v, want CONT, TERM and WINCH", left)
	}
}

// TestSignalNames: a signal that is caught has a name that a person can type.
func TestSignalNames(t *testing.T) {
	for _, s := range slices.Concat(BeforeStart, AfterStart) {
		sig := s.(syscall.Signal)
		if got, err := ParseSignal(SignalName(sig)); err != nil || got != sig {
			t.Errorf("%v is called %s, which is %v, %v", sig, SignalName(sig), got, err)
		}
		if want := unix.SignalName(sig); "SIG"+SignalName(sig) != want {
			t.Errorf("%s is called %s", want, SignalName(sig))
		}
	}
}
