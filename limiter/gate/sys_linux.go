package gate

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

func affinity() allowed {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return allowed{} // more CPUs than the set has bits
	}
	return allowed{n: set.Count(), isSet: set.IsSet, restricted: func() bool {
		text, err := os.ReadFile("/sys/devices/system/cpu/online")
		return err == nil && set.Count() < countList(strings.TrimSpace(string(text)))
	}}
}

// countList counts what a list like 0-3,7 has.
func countList(list string) int {
	n := 0
	for part := range strings.SplitSeq(list, ",") {
		low, high, ok := strings.Cut(part, "-")
		if !ok {
			high = low
		}
		l, err1 := strconv.Atoi(low)
		h, err2 := strconv.Atoi(high)
		if err1 == nil && err2 == nil {
			n += h - l + 1
		}
	}
	return n
}

// inode tells apart control groups of the same name: a group that was made again, or one
// that another container sees under this name.
func inode(dir string) uint64 {
	var st unix.Stat_t
	if unix.Stat(dir, &st) != nil {
		return 0
	}
	return st.Ino
}

// loadReadable reads the file itself. When gopsutil cannot read it, gopsutil asks the
// running kernel, which is not the machine under another root.
func (r roots) loadReadable() error {
	file := path.Join(r.proc, "loadavg")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	f := strings.Fields(string(text))
	if len(f) < 3 {
		return fmt.Errorf("%s does not have three averages", file)
	}
	for _, s := range f[:3] {
		if v, err := strconv.ParseFloat(s, 64); err != nil || !(v >= 0 && v < 1e9) {
			return fmt.Errorf("%s has %q for an average", file, s)
		}
	}
	return nil
}

// vanished reports whether a file was removed, before or after it was opened.
func vanished(err error) bool {
	if pe, ok := err.(*fs.PathError); ok {
		err = pe.Err
	}
	return err == syscall.ENOENT || err == syscall.ENODEV || err == syscall.ENOTDIR
}
