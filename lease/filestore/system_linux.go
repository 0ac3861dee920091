package filestore

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// flockOwner returns the pid that took the flock on f, 0 if it is unknown. /proc/locks has
// it, so a process need not write its pid each time it takes the lock.
func flockOwner(f *os.File) int {
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil {
		return 0
	}
	locks, err := os.Open("/proc/locks")
	if err != nil {
		return 0
	}
	defer locks.Close()
	want := fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
	for sc := bufio.NewScanner(locks); sc.Scan(); {
		// "3: FLOCK  ADVISORY  WRITE 812 fe:00:1234 0 EOF"; a waiter has "->"
		f := strings.Fields(sc.Text())
		if len(f) >= 6 && f[1] == "FLOCK" && f[5] == want {
			pid, _ := strconv.Atoi(f[4])
			return max(pid, 0)
		}
	}
	return 0
}

// holdsFlock reports whether the open file behind fd holds a flock. To try the lock would
// tell, too, but might acquire it.
func holdsFlock(fd int) bool {
	b, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(fd))
	return err == nil && strings.Contains(string(b), "FLOCK")
}

// networkFS names the file system if its locks go over a network.
func networkFS(dir string) string {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return ""
	}
	switch uint32(st.Type) {
	case unix.NFS_SUPER_MAGIC:
		return "NFS"
	case unix.SMB_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC:
		return "SMB"
	case unix.CEPH_SUPER_MAGIC:
		return "Ceph"
	case unix.AFS_SUPER_MAGIC, unix.AFS_FS_MAGIC:
		return "AFS"
	case unix.V9FS_MAGIC:
		return "9P"
	}
	return ""
}

// checkMount refuses a mount whose options say that locks are not shared with
// the other machines: every machine would count for itself.
func checkMount(dir string) error {
	if networkFS(dir) == "" {
		return nil
	}
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	if opt := localLocks(string(b), dir); opt != "" {
		return &fs.PathError{Op: "use store", Path: dir, Err: fmt.Errorf("is on a network file system mounted with %q, so its locks do not reach other machines; mount it without, or name a local directory with --store", opt)}
	}
	return nil
}

// localLocks returns the mount option that keeps locks local, for the mount
// that dir is on.
func localLocks(mountinfo, dir string) string {
	best, opts := "", ""
	for line := range strings.Lines(mountinfo) {
		// 36 35 98:0 /root /mount/point rw,noatime shared:1 - nfs4 server:/x rw,local_lock=none
		head, tail, ok := strings.Cut(strings.TrimSpace(line), " - ")
		h, t := strings.Fields(head), strings.Fields(tail)
		if !ok || len(h) < 6 || len(t) < 3 {
			continue
		}
		if at := h[4]; len(at) >= len(best) && (dir == at || strings.HasPrefix(dir, strings.TrimSuffix(at, "/")+"/")) {
			best, opts = at, h[5]+","+t[2]
		}
	}
	for opt := range strings.SplitSeq(opts, ",") {
		switch opt {
		case "nolock", "local_lock=all", "local_lock=flock":
			return opt
		}
	}
	return ""
}

// sleepInKernel sleeps in this thread: the runtime's own sleep would wake two others.
func sleepInKernel(d time.Duration) {
	left := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&left, nil)
}
