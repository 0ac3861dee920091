package procwatch_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"berth/procwatch"
)

// When the last descriptor is taken for a moment, End waits for it: it ended the
// child alone, and its descendants ran on.
func TestEndWithoutDescriptors(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	c := start(t, as("short"), self(), out)
	if got := exit(t, c); got.Code != 0 {
		t.Fatalf("%+v", got)
	}
	if got, _ := os.ReadFile(out); string(got) != "<nil> 143\n" {
		t.Errorf("got %q", got)
	}
}

func roleShort(args []string) {
	up := args[0] + ".up"
	c, err := procwatch.Start([]string{"/bin/sh", "-c", `sleep 1000 & echo up >"$0"; exec sleep 1000`, up}, nil)
	if err != nil {
		panic(err)
	}
	for len(lines(up)) == 0 {
		time.Sleep(time.Millisecond)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		panic(err)
	}
	none := syscall.Rlimit{Cur: 3, Max: limit.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		panic(err)
	}
	time.AfterFunc(300*time.Millisecond, func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err = c.End(ctx, syscall.SIGTERM, time.Hour)
	say(args[0], fmt.Sprint(err, " ", (<-c.Events()).Code))
}
