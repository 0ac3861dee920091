package tty

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Die returns only where the kernel does not let this process die of sig.
//
// The runtime has a handler of its own for every signal, which signal.Reset leaves
// there; of some (QUIT, SEGV) it prints a traceback. So the disposition is reset beneath
// it, and the signal goes to this thread, which then does not run on.
func Die(sig syscall.Signal) {
	runtime.LockOSThread()
	// The command's core dump, if any, is written. This one would be of no use; the
	// limit does not count where cores go to a program.
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	var byDefault [64]byte // all zeros, and longer than any architecture's sigaction
	const maskSize = 8
	_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&byDefault)), 0, maskSize, 0, 0)
	var all unix.Sigset_t
	for i := range all.Val {
		all.Val[i] = ^all.Val[i]
	}
	_ = unix.PthreadSigmask(unix.SIG_UNBLOCK, &all, nil)
	_ = unix.Tgkill(os.Getpid(), unix.Gettid(), sig)
}
