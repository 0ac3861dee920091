//go:build linux

package filestore

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestLocalLocks(t *testing.T) {
	const info = `22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
36 22 0:40 /x /srv/nfs rw,noatime shared:1 - nfs4 server:/x rw,vers=4.2,local_lock=none
37 36 0:41 /y /srv/my\040files rw shared:2 - nfs server:/y rw,vers=3,local_lock=all
38 36 0:42 /z /srv/nfs/flock rw shared:3 - nfs server:/z rw,vers=3,local_lock=flock
39 36 0:43 /n /srv/nolock rw - nfs server:/n rw,nolock
`
	for mount, want := range map[string]string{
		"22": "", "36": "", "37": "local_lock=all", "38": "local_lock=flock", "39": "nolock", "3": "", "": "",
	} {
		if got := localLocks(info, mount); got != want {
			t.Errorf("%s: %q, want %q", mount, got, want)
		}
	}
}

// TestMountOf: the mount is that of the directory, not that of the link which leads there.
func TestMountOf(t *testing.T) {
	s := newStore(t)
	link := s.path("a link")
	if err := os.Symlink("/proc", link); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(link, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	d, err := newDir(fd, link)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(info)) {
		if f := strings.Fields(line); f[0] == mountOf(d) && f[4] == "/proc" {
			return
		}
	}
	t.Errorf("/proc is on the mount %q", mountOf(d))
}
