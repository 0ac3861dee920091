package redisstore

import (
	"maps"
	"strings"
	"testing"
	"time"

	"berth/lease"
)

func TestExamineJudges(t *testing.T) {
	good := map[string]string{
		"redis_version": "7.0.15", "redis_mode": "standalone", "role": "master", "connected_slaves": "1",
		"maxmemory": "0", "used_memory": "1048576", "maxmemory_policy": "allkeys-lru", "aof_enabled": "0", "rdb_last_bgsave_status": "ok",
	}
	for _, c := range []struct {
		name     string
		info     map[string]string
		latency  time.Duration
		ahead    time.Duration
		replicas int
		want     string // the findings that are not ok
	}{
		{"all is well", nil, time.Millisecond, time.Second, 1, ""},
		{"old", map[string]string{"redis_version": "5.0.1"}, 0, 0, 0, "fail server"},
		{"cluster", map[string]string{"redis_mode": "cluster"}, 0, 0, 0, "fail server"},
		{"it loads", map[string]string{"loading": "1"}, 0, 0, 0, "warn server"},
		{"far away", nil, time.Second, 0, 0, "warn latency"},
		{"behind", nil, 0, -time.Minute, 0, "warn server clock"},
		{"it evicts", map[string]string{"maxmemory": "9999999"}, 0, 0, 0, "fail memory"},
		{"it evicts nothing", map[string]string{"maxmemory": "9999999", "maxmemory_policy": "noeviction"}, 0, 0, 0, ""},
		{"nearly full", map[string]string{"maxmemory": "1048577", "maxmemory_policy": "noeviction"}, 0, 0, 0, "warn memory"},
		{"its disk is full", map[string]string{"rdb_last_bgsave_status": "err"}, 0, 0, 0, "fail persistence"},
		{"too few replicas", nil, 0, 0, 2, "fail replicas"},
		{"mute", map[string]string{"mute": "ACL SETUSER"}, 0, 0, 0, "warn channels"},
		{"a replica", map[string]string{"role": "slave"}, 0, 0, 0, "fail replicas"},
	} {
		info := maps.Clone(good)
		maps.Copy(info, c.info)
		var ill []string
		for _, f := range (server{info: map[string]map[string]string{"all": info}, latency: c.latency, ahead: c.ahead, replicas: c.replicas, mute: info["mute"]}).judge() {
			if f.Status != lease.OK {
				ill = append(ill, string(f.Status)+" "+f.Name)
			}
			if (f.Status == lease.OK) != (f.Remedy == "") {
				t.Errorf("%s: %+v", c.name, f)
			}
		}
		if got := strings.Join(ill, ", "); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
