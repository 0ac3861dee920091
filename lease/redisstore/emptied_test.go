package redisstore_test

import (
	"testing"
	"time"

	"berth/lease"
	"berth/lease/redisstore"
	"berth/lease/remote"
)

// A server that has been up for long is emptied, with its scripts or without. No new job
// starts.
func TestEmptiedWithItsScripts(t *testing.T) {
	t.Parallel()
	server := known(t)
	h := try(t, open(t, server, ""), job(1, longTTL))
	eventually(t, "it has been up for longer than a TTL", func() bool { return uptime(t, server) > shortTTL+time.Second })
	command(t, server, "FLUSHALL")
	command(t, server, "SCRIPT", "FLUSH")
	refused(t, openAt(t, server.Addr, nil, redisstore.Timings{}), job(1, shortTTL), lease.Recovering)
	if _, err := h.Renew(within(t), 0); err != nil {
		t.Error(err)
	}
	refused(t, open(t, server, ""), job(1, shortTTL), lease.Full)
	release(t, h)
}

// With ?fresh=1 there is no recovery hold-off, as long as no holder has been registered.
func TestFreshServer(t *testing.T) {
	t.Parallel()
	server := known(t)
	command(t, server, "FLUSHALL")
	s := open(t, server, "?fresh=1")
	h := try(t, s, job(1, longTTL))
	refused(t, s, job(1, longTTL), lease.Full)
	release(t, h)
	command(t, server, "FLUSHALL")
	refused(t, open(t, server, ""), job(1, longTTL), lease.Recovering)
	release(t, try(t, s, job(1, longTTL))) // no holder has been known there since
	command(t, server, "FLUSHALL")
	h = try(t, s, job(2, longTTL))
	command(t, server, "FLUSHALL")
	refused(t, open(t, server, ""), job(2, longTTL), lease.Recovering)
	if _, err := h.Renew(within(t), 0); err != nil { // and registers again
		t.Fatal(err)
	}
	refused(t, s, job(2, longTTL), lease.Recovering)
	if _, err := remote.ParseURL("redis://h?fresh=yes"); err != nil {
		t.Fatal(err)
	}
	d, _ := remote.ParseURL("redis://h?fresh=yes")
	if _, err := redisstore.Open(d); err == nil {
		t.Error("fresh=yes is taken")
	}
}

// The first replica of a master changes the id of its history, and nothing is lost.
func TestFirstReplicaAttaches(t *testing.T) {
	t.Parallel()
	s := replicate(t)
	command(t, s.replica, "REPLICAOF", "NO", "ONE")
	// A backlog that is no longer needed is freed, and the history with it.
	command(t, s.master, "CONFIG", "SET", "repl-backlog-ttl", 1)
	command(t, s.master, "FLUSHALL")
	store := s.store()
	release(t, get(t, line(t, store, job(2, shortTTL)))) // and by now it knows the history
	was := s.offset(s.master, "master_replid")
	eventually(t, "the history changes", func() bool {
		if s.offset(s.master, "repl_backlog_active") == "0" {
			command(t, s.replica, "REPLICAOF", "127.0.0.1", port(s.master.Addr))
		}
		return s.offset(s.master, "master_replid") != was
	})
	release(t, try(t, store, job(2, shortTTL)))
}
