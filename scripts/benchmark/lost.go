//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"berth/lease/remote"
)

// What becomes of a job whose lease is lost: two jobs want the one slot; the first
// one's wrapper is frozen for longer than its lease holds, or its lease is taken away
// by hand. Each job notes 50 times a second that it lives.

const (
	lostTTL    = 5 * time.Second
	lostFrozen = 3 * lostTTL
	lostRuns   = 30 * time.Second
)

const livingJob = `end=$(( $(date +%%s) + %d )); while [ $(date +%%s) -lt $end ]; do cat /proc/uptime >>%s; sleep 0.02; done`

// lost prints for how long both jobs ran.
func (b *bench) lost() error {
	fmt.Println("| what happens to the first job's lease of 5 s | etcdctl lock | berth, etcd | berth, Redis |\n| --- | --- | --- | --- |")
	for _, how := range []string{"its wrapper is frozen for 15 s", "it is taken away by hand"} {
		line := "| " + how
		for _, name := range []string{"etcdctl lock", "etcd", "redis"} {
			both, err := b.lose(name, strings.HasPrefix(how, "its wrapper"))
			if errors.Is(err, errMissing) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("%s, %s: %w", name, how, err)
			}
			line += fmt.Sprintf(" | %.1f s", both)
		}
		fmt.Println(line + " |")
	}
	fmt.Println("\nseconds in which both jobs ran, of 30 that each of them takes")
	return nil
}

// lose runs two jobs and loses the first one's lease; it returns for how long both ran.
func (b *bench) lose(name string, freeze bool) (float64, error) {
	t, err := b.lostTool(name)
	if err != nil {
		return 0, err
	}
	dir, err := b.fresh("lost")
	if err != nil {
		return 0, err
	}
	start := func(which string) (int, error) {
		return b.spawn(t, "/bin/sh", "-c", fmt.Sprintf(livingJob, int(lostRuns.Seconds()), dir+"/"+which))
	}
	runs := func(which string) error {
		return b.until("job "+which, 20*time.Millisecond, time.Minute, func() (bool, error) {
			return len(alive(dir+"/"+which)) > 0, nil
		})
	}
	first, err := start("first")
	if err == nil {
		err = runs("first")
	}
	if err == nil {
		_, err = start("second")
	}
	if err == nil {
		err = b.sleep(2 * time.Second) // it stands in the line
	}
	if err != nil {
		return 0, err
	}
	if freeze {
		_ = syscall.Kill(first, syscall.SIGSTOP)
		time.AfterFunc(lostFrozen, func() { _ = syscall.Kill(first, syscall.SIGCONT) })
	} else if err := b.takeAway(t, name); err != nil {
		return 0, err
	}
	if err := runs("second"); err != nil {
		return 0, err
	}
	if err := b.sleep(lostRuns); err != nil {
		return 0, err
	}
	a, s := alive(dir+"/first"), alive(dir+"/second")
	return max(0, a[len(a)-1]-s[0]), b.endAll()
}

// alive are the times since boot that a job noted.
func alive(name string) (all []float64) {
	text, _ := os.ReadFile(name)
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 2 && strings.HasSuffix(line, "\n") {
			if t, err := strconv.ParseFloat(f[0], 64); err == nil {
				all = append(all, t)
			}
		}
	}
	return all
}

func (b *bench) lostTool(name string) (tool, error) {
	t, err := b.remoteOf(name, "-n", "1")
	switch {
	case err != nil:
	case name == "etcdctl lock":
		t.words = []string{t.words[0], "lock", "--ttl", strconv.Itoa(int(lostTTL.Seconds())), "x", "--"}
	default:
		t.words = []string{b.remote, "run", "--ttl", lostTTL.String(), "-n", "1", "--"}
	}
	return t, err
}

// takeAway ends the lease of the job that runs, as an operator might.
func (b *bench) takeAway(t tool, name string) error {
	store := strings.TrimPrefix(t.env[len(t.env)-1], "ETCDCTL_ENDPOINTS=")
	if name == "redis" {
		a, err := remote.ParseURL(strings.TrimPrefix(store, "BERTH_STORE="))
		if err != nil {
			return err
		}
		c, err := dialRedis(a.Hosts[0])
		if err != nil {
			return err
		}
		defer c.Close()
		if gone, err := c.do("DEL", "{berth}:held:default"); err != nil || gone != int64(1) {
			return fmt.Errorf("no lease was there to take away: %v, %v", gone, err)
		}
		return nil
	}
	etcdctl, err := b.server("etcdctl")
	if err != nil {
		return err
	}
	ctl := tool{env: []string{"ETCDCTL_API=3", "ETCDCTL_ENDPOINTS=" + strings.TrimPrefix(store, "BERTH_STORE=etcd://")}}
	where := "x/"
	if name == "etcd" {
		where = "berth/pools/default/holders/"
	}
	text, err := b.output(ctl, etcdctl, "get", "--prefix", where, "--sort-by", "CREATE", "--limit", "1", "-w", "json")
	if err != nil {
		return err
	}
	var got struct {
		KVs []struct {
			Lease int64 `json:"lease"`
		} `json:"kvs"`
	}
	if err := json.Unmarshal(text, &got); err != nil || len(got.KVs) == 0 {
		return fmt.Errorf("no lease below %s: %v", where, err)
	}
	_, err = b.output(ctl, etcdctl, "lease", "revoke", strconv.FormatInt(got.KVs[0].Lease, 16))
	return err
}
