//go:build !linux

package gate

import (
	"errors"
	"time"

	"github.com/shirou/gopsutil/v3/cpu"
)

func (r roots) counters() (map[string]cpuTime, error) {
	stats, err := cpu.Times(true)
	if err == nil && len(stats) == 0 {
		err = errors.New("this system does not tell the time of its CPUs")
	}
	all := map[string]cpuTime{}
	for _, s := range stats {
		busy := s.User + s.Nice + s.System + s.Irq + s.Softirq + s.Steal
		all[s.CPU] = cpuTime{time.Duration(busy * float64(time.Second)), time.Duration((s.Idle + s.Iowait) * float64(time.Second))}
	}
	return all, err
}
