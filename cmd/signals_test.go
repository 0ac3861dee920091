//go:build unix

package cmd

import (
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestClassOf is the table again, in the words of who relies on it.
func TestClassOf(t *testing.T) {
	for _, c := range []struct {
		signals                  []syscall.Signal
		alone, running, leftover class
	}{
		{[]syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT}, terminate, forward, terminate},
		{[]syscall.Signal{syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM}, terminate, forward, ignore},
		{[]syscall.Signal{syscall.SIGTSTP}, suspend, suspend, suspend},
		{[]syscall.Signal{syscall.SIGCONT}, resume, resume, resume},
		{[]syscall.Signal{syscall.SIGWINCH}, ignore, forward, ignore},
		{[]syscall.Signal{syscall.SIGPIPE, syscall.SIGCHLD, syscall.SIGURG}, ignore, ignore, ignore},
	} {
		for _, sig := range c.signals {
			for p, want := range map[phase]class{alone: c.alone, running: c.running, leftover: c.leftover} {
				if got := classOf(sig, p); got != want {
					t.Errorf("%s in phase %d: class %d, want %d", unix.SignalName(sig), p, got, want)
				}
			}
		}
	}
	for _, sig := range slices.Concat(drastic, harmless) {
		if _, ok := classes[sig.(syscall.Signal)]; !ok {
			t.Errorf("%v is caught, and nobody knows what for", sig)
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

// TestInboxLosesNoSignal: whoever is busy finds a TERM behind a thousand CONTs.
func TestInboxLosesNoSignal(t *testing.T) {
	b := newInbox()
	go b.see()
	for range 1000 {
		b.again(sigCONT)
	}
	b.again(syscall.SIGTERM)
	b.again(syscall.SIGWINCH)
	for len(b.in) > 0 { // then none is behind what close gets first
		runtime.Gosched()
	}
	if left := b.close(); !slices.Equal(left, []syscall.Signal{sigCONT, syscall.SIGTERM, sigWINCH}) {
		t.Errorf("left are %v, want CONT, TERM and WINCH", left)
	}
}

// TestFollow is what signals ask of a process without a command, one close behind the
// other. (The test is in no terminal's foreground, or types no Ctrl-Z there.)
func TestFollow(t *testing.T) {
	const i, tstp, cont, usr1, winch = syscall.SIGINT, syscall.SIGTSTP, syscall.SIGCONT, syscall.SIGUSR1, syscall.SIGWINCH
	for _, c := range []struct {
		name  string
		came  []syscall.Signal // the first one now, the others right after it
		stops int
		ended syscall.Signal
	}{
		{"Ctrl-Z", []syscall.Signal{tstp}, 1, 0},
		{"undone", []syscall.Signal{tstp, cont}, 0, 0},
		{"others come first", []syscall.Signal{tstp, winch, cont}, 0, 0},
		{"ended instead", []syscall.Signal{tstp, i}, 0, i},
		{"ended", []syscall.Signal{usr1}, 0, usr1},
		{"nothing", []syscall.Signal{winch}, 0, 0},
		{"goes on", []syscall.Signal{cont}, 0, 0},
	} {
		next := make(chan syscall.Signal, len(c.came))
		for _, sig := range c.came[1:] {
			next <- sig
		}
		var s suspension
		stops := 0
		ended := s.follow(c.came[0], next, func() { stops++ })
		if stops != c.stops || ended != c.ended {
			t.Errorf("%s: stopped %d times and ended by %d, want %d and %d", c.name, stops, ended, c.stops, c.ended)
		}
		if ended == 0 && s.pending(forever) {
			t.Errorf("%s: is to be stopped still", c.name)
		}
	}
}

// TestSuspension: what stands of a TSTP.
func TestSuspension(t *testing.T) {
	var s suspension
	if s.pending(forever) || s.take() {
		t.Error("nobody has asked")
	}
	if !s.ask() || !s.pending(forever) || s.pending(0) || !s.take() || s.take() {
		t.Error("a TSTP stands until it is taken")
	}
	s.resume()
	if !foreground() && s.ask() {
		t.Error("a TSTP that was sent before the CONT")
	}
	s.continued = s.continued.Add(-2 * contsAgo)
	if !s.ask() {
		t.Error("one that was sent after it")
	}
	s.resume()
	if s.pending(time.Hour) || s.take() {
		t.Error("a CONT undoes it")
	}
}
