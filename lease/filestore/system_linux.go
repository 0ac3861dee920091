package filestore

import (
	"bufio"
	"fmt"
	"os"
	"slices"
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

// hasFlockOn reports whether one of our descriptors holds a flock on the file of st. To try
// the lock would tell, too, but might acquire it.
func hasFlockOn(file *unix.Stat_t) bool {
	fds, _ := os.ReadDir("/proc/self/fd")
	for _, e := range fds {
		fd, err := strconv.Atoi(e.Name())
		var st unix.Stat_t
		if err != nil || unix.Fstat(fd, &st) != nil || st.Dev != file.Dev || st.Ino != file.Ino {
			continue
		}
		if b, err := os.ReadFile("/proc/self/fdinfo/" + e.Name()); err == nil && strings.Contains(string(b), "FLOCK") {
			return true
		}
	}
	return false
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
func (s *Store) checkMount() error {
	if networkFS(s.dir) == "" {
		return nil
	}
	root, err := s.rootDir()
	if err != nil {
		return nil // it does not exist yet, or every use says what is wrong
	}
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	if opt := localLocks(string(b), mountOf(root)); opt != "" {
		return s.cannotUse(fmt.Errorf("it is on a network file system mounted with %q, so its locks do not reach other machines; mount it without, or name a local directory with --store", opt))
	}
	return nil
}

// mountOf returns the id of the mount that d is on, "" if it is unknown. A path would not do:
// it may lead through symbolic links, and mountinfo escapes blanks.
func mountOf(d *dir) (id string) {
	_ = d.withFD(func(fd int) error {
		b, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(fd))
		for line := range strings.Lines(string(b)) {
			if v, ok := strings.CutPrefix(line, "mnt_id:"); ok {
				id = strings.TrimSpace(v)
			}
		}
		return err
	})
	return id
}

// mountAt is where a directory is mounted.
func mountAt(path string) mount {
	fd, err := openPath(path, dirFlags&^unix.O_NOFOLLOW, 0)
	if err != nil {
		return mount{}
	}
	d, err := newDir(fd, path)
	if err != nil {
		return mount{}
	}
	defer d.close()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return mount{}
	}
	id := mountOf(d)
	for line := range strings.Lines(string(b)) {
		head, tail, ok := strings.Cut(strings.TrimSpace(line), " - ")
		h, t := strings.Fields(head), strings.Fields(tail)
		if ok && len(h) >= 6 && len(t) >= 3 && h[0] == id {
			return mount{t[0], h[4], allOptions(h[5], t[2])}
		}
	}
	return mount{}
}

// allOptions are the options of a mount and of its file system. Most stand in both.
func allOptions(mount, fs string) string {
	all := strings.Split(mount, ",")
	for o := range strings.SplitSeq(fs, ",") {
		if !slices.Contains(all, o) {
			all = append(all, o)
		}
	}
	return strings.Join(all, ",")
}

// localLocks returns the option of a mount that keeps locks local, "" if it has none.
func localLocks(mountinfo, mount string) string {
	for line := range strings.Lines(mountinfo) {
		// 36 35 98:0 /root /mount/point rw,noatime shared:1 - nfs4 server:/x rw,local_lock=none
		head, tail, ok := strings.Cut(strings.TrimSpace(line), " - ")
		h, t := strings.Fields(head), strings.Fields(tail)
		if !ok || len(h) < 6 || len(t) < 3 || h[0] != mount {
			continue
		}
		for opt := range strings.SplitSeq(h[5]+","+t[2], ",") {
			switch opt {
			case "nolock", "local_lock=all", "local_lock=flock":
				return opt
			}
		}
	}
	return ""
}

// sleepInKernel sleeps in this thread: the runtime's own sleep would wake two others.
func sleepInKernel(d time.Duration) {
	left := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&left, nil)
}
