package procwatch_test

import (
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"berth/procwatch"
)

func TestMark(t *testing.T) {
	me, err := procwatch.Self()
	if err != nil {
		t.Fatal(err)
	}
	if me.Marked("here") {
		t.Error("marked before")
	}
	if err := procwatch.Mark("here"); err != nil {
		t.Fatal(err)
	}
	if !me.Marked("here") || me.Marked("her") {
		t.Error("not known by its mark")
	}
	// A child does not inherit it: it would be woken for us.
	c := start(t, nil, "sleep", "1000")
	if c.ID().Marked("here") {
		t.Error("the child is marked")
	}
}

func TestStartedBy(t *testing.T) {
	c := start(t, append(os.Environ(), "THIS=job"), "sleep", "1000")
	is := func(env []string) bool { return slices.Contains(env, "THIS=job") }
	if got, err := procwatch.StartedBy(os.Getuid(), "", is); err != nil || !slices.Equal(got, []procwatch.ID{c.ID()}) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := procwatch.StartedBy(os.Getuid()+1, "", is); err != nil || len(got) > 0 {
		t.Errorf("of another user: %v, %v", got, err)
	}
}

func TestSend(t *testing.T) {
	c := start(t, nil, "sleep", "1000")
	other := c.ID()
	other.Start++
	if err := other.Send(syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	if s := c.ID().State(); s != procwatch.Alive {
		t.Errorf("the process that has the pid now is %v", s)
	}
	if err := c.ID().Send(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if got := exit(t, c); got.Signal != syscall.SIGTERM {
		t.Errorf("%+v", got)
	}
}

// An entry is found behind one that is longer than what is read at once.
func TestStartedWithALongEnvironment(t *testing.T) {
	is := func(want string) func([]string) bool {
		return func(env []string) bool { return slices.Contains(env, want) }
	}
	c := start(t, append(os.Environ(), "LONG="+strings.Repeat("x", 100_000), "THIS=job"), "sleep", "1000")
	// The kernel closes the pipe that tells of the exec before it lays out the environment.
	until(t, "its environment is read", func() bool { return c.ID().StartedWith("THIS=", is("THIS=job")) })
	if c.ID().StartedWith("THIS", is("THIS=jo")) || c.ID().StartedWith("x", func(env []string) bool { return len(env) > 0 }) {
		t.Error("a part of an entry counts as one")
	}
	if v, ok := c.ID().Started("LONG"); ok || v != "" {
		t.Error("an entry of any length is kept")
	}
}
