package lease

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Boottime is the time since the machine was started. It goes on during suspend,
// and setting the time does not move it.
func Boottime() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	return time.Duration(ts.Nano())
}

// sleepUntil returns at an instant of Boottime, or when ctx ends. The runtime's own
// timers stand still during suspend; this one wakes right after it.
func sleepUntil(ctx context.Context, at time.Duration) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		nap(ctx, at)
		return
	}
	f := os.NewFile(uintptr(fd), "timerfd")
	defer f.Close()
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(1, int64(at)))} // 0 would disarm it
	if err := unix.TimerfdSettime(fd, unix.TFD_TIMER_ABSTIME, &spec, nil); err != nil {
		nap(ctx, at)
		return
	}
	defer context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })()
	var fired [8]byte
	if _, err := f.Read(fired[:]); err != nil && ctx.Err() == nil {
		nap(ctx, at)
	}
}
