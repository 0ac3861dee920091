package limiter

import (
	"math"
	"testing"
	"testing/fstest"
)

func TestQuota(t *testing.T) {
	for _, c := range []struct {
		why   string
		files map[string]string
		want  int
	}{
		{"no groups at all", nil, math.MaxInt},
		{"version 2, none set", map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "max 100000\n"}, math.MaxInt},
		{"version 2, rounded up", map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "150000 100000\n"}, 2},
		{"version 2, the parent's is smaller", map[string]string{
			"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "100000 100000\n", "sys/fs/cgroup/a/b/cpu.max": "400000 100000\n",
		}, 1},
		{"version 1", map[string]string{
			"proc/self/cgroup": "3:cpuset:/x\n2:cpu,cpuacct:/a\n", "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "300000\n", "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
		}, 3},
		{"version 1, none set", map[string]string{
			"proc/self/cgroup": "1:cpu:/\n", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
		}, math.MaxInt},
		{"both mounted", map[string]string{
			"proc/self/cgroup": "1:cpu:/a\n0::/b\n", "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "500000\n", "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000\n",
			"sys/fs/cgroup/unified/b/cpu.max": "200000 100000\n",
		}, 2},
		{"garbage", map[string]string{"proc/self/cgroup": "what\n0::/a\n", "sys/fs/cgroup/a/cpu.max": "soon\n"}, math.MaxInt},
	} {
		root := fstest.MapFS{}
		for name, text := range c.files {
			root[name] = &fstest.MapFile{Data: []byte(text)}
		}
		if got := quota(root); got != c.want {
			t.Errorf("%s: %d, want %d", c.why, got, c.want)
		}
	}
}
