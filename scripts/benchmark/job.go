//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// The measured job notes when it starts and when it ends, each with one write
// to the end of a file, and does in between what its second word says: nap for
// 10 ms, hold until it is killed, or gate: until the named pipe is closed.
//
// It is a static C program where there is a compiler: what the job itself
// needs to start is part of every hand-over, and should be small.
const jobSource = `
#include <fcntl.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

static int out;

static int stamp(int64_t kind) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	int64_t r[2] = {t.tv_sec * 1000000000LL + t.tv_nsec, kind};
	return write(out, r, sizeof r) != sizeof r;
}

int main(int argc, char **argv) {
	if (argc < 3 || (out = open(argv[1], O_WRONLY | O_APPEND)) < 0 || stamp(1))
		return 1;
	switch (argv[2][0]) {
	case 'n': {
		struct timespec t = {0, 10000000};
		nanosleep(&t, 0);
		break;
	}
	case 'h':
		for (;;)
			pause();
	case 'g': {
		char c;
		int gate = open(argv[3], O_RDONLY);
		if (gate < 0 || read(gate, &c, 1) != 0)
			return 1;
	}
	}
	return stamp(2);
}
`

const (
	jobWord   = "job" // makes this program the job, where no compiler is
	stampSize = 16
	started   = 1
	ended     = 2
)

func (b *bench) makeJob() error {
	b.job = []string{filepath.Join(b.dir, "benchmark"), jobWord}
	cc, err := exec.LookPath("cc")
	if err != nil {
		return nil
	}
	source, program := filepath.Join(b.dir, "job.c"), filepath.Join(b.dir, "job")
	if err := os.WriteFile(source, []byte(jobSource), 0o600); err != nil {
		return err
	}
	words := []string{cc, "-O2", "-static", "-o", program, source}
	if _, err := b.output(tool{}, words...); err != nil {
		b.notef("cannot compile a static C program: %v", err)
		return nil
	}
	b.job = []string{program}
	return nil
}

func (b *bench) jobKind() string {
	if len(b.job) == 1 {
		return "a static C program that sleeps 10 ms"
	}
	return "a Go program that sleeps 10 ms (no C compiler here), which takes longer to start and so hides differences"
}

// jobMain is the same in Go.
func jobMain(args []string) {
	out, err := unix.Open(args[0], unix.O_WRONLY|unix.O_APPEND|unix.O_CLOEXEC, 0)
	if err != nil || stamp(out, started) != nil {
		os.Exit(1)
	}
	switch args[1] {
	case "nap":
		time.Sleep(10 * time.Millisecond)
	case "hold":
		for {
			_ = unix.Pause()
		}
	case "gate":
		gate, err := os.Open(args[2])
		if err != nil {
			os.Exit(1)
		}
		if n, _ := gate.Read(make([]byte, 1)); n != 0 {
			os.Exit(1)
		}
	}
	if stamp(out, ended) != nil {
		os.Exit(1)
	}
}

func stamp(out int, kind uint64) error {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return err
	}
	b := binary.NativeEndian.AppendUint64(nil, uint64(t.Nano()))
	_, err := unix.Write(out, binary.NativeEndian.AppendUint64(b, kind))
	return err
}

// count is how many stamps are in a file.
func count(records string) (int, error) {
	fi, err := os.Stat(records)
	if err != nil {
		return 0, err
	}
	return int(fi.Size() / stampSize), nil
}

// gaps are the times from the end of a job to the start of the next one, in
// the order in which they happened. Jobs that ran at the same time are an
// error: the tool broke its promise, and its times mean nothing.
func gaps(records string) (times []float64, err error) {
	text, err := os.ReadFile(records)
	if err != nil {
		return nil, err
	}
	type record struct{ At, Kind int64 }
	all := make([]record, len(text)/stampSize)
	if err := binary.Read(bytes.NewReader(text), binary.NativeEndian, all); err != nil {
		return nil, err
	}
	// Stamp and write are two steps, but with one job at a time their order is
	// the same.
	for i, r := range all {
		if want := int64(started + i%2); r.Kind != want || (i > 0 && r.At < all[i-1].At) {
			return nil, fmt.Errorf("two jobs ran at the same time (record %d of %s)", i, records)
		}
		if r.Kind == started && i > 0 {
			times = append(times, float64(r.At-all[i-1].At))
		}
	}
	return times, nil
}
