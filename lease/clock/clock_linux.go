package clock

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Now is the present on the boot clock: it counts from the start of the machine, goes
// on during suspend, and setting the time does not move it.
func Now() Instant {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) // every kernel since 2.6.39 has it
	return Instant(ts.Nano())
}

// SleepUntil returns at an instant of the boot clock, or when ctx ends. The runtime's
// own timers stand still during suspend; this one fires right after it.
func SleepUntil(ctx context.Context, at Instant) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		poll(ctx, at)
		return
	}
	f := os.NewFile(uintptr(fd), "timerfd")
	defer f.Close()
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(1, int64(at)))} // 0 would disarm it
	if err := unix.TimerfdSettime(fd, unix.TFD_TIMER_ABSTIME, &spec, nil); err != nil {
		poll(ctx, at)
		return
	}
	defer context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })()
	var fired [8]byte
	if _, err := f.Read(fired[:]); err != nil && ctx.Err() == nil {
		poll(ctx, at)
	}
}
