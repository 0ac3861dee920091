package gate

import (
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of /proc/stat: USER_HZ, which is 100 on every architecture
// that Go runs on, whatever the kernel's own HZ.
const tick = time.Second / 100

// counters reads the counters without gopsutil: its package for CPUs reads /proc/stat
// twice while it is initialised, which would cost every start 0.1 ms, also without gates.
func (r roots) counters() (map[string]cpuTime, error) {
	file := path.Join(r.proc, "stat")
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	all := map[string]cpuTime{}
	for line := range strings.Lines(string(text)) {
		// cpu0 user nice system idle iowait irq softirq steal guest guest_nice,
		// where a guest's time is in user already. Old kernels end sooner.
		f := strings.Fields(line)
		if len(f) < 5 {
			continue
		}
		if _, ok := cpuNumber(f[0]); !ok {
			continue
		}
		var t cpuTime
		for i, word := range f[1:min(len(f), 9)] {
			n, err := strconv.ParseUint(word, 10, 48)
			if err != nil {
				return nil, fmt.Errorf("%s has %q for a time of %s", file, word, f[0])
			}
			if d := time.Duration(n) * tick; i == 3 || i == 4 {
				t.idle += d
			} else {
				t.busy += d
			}
		}
		all[f[0]] = t
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s has no lines of CPUs", file)
	}
	return all, nil
}
