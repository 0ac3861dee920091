//go:build linux

package main

import (
	"os"
	"testing"
	"time"
)

// TestMain lets the test binary be the jobs of a storm.
func TestMain(m *testing.M) {
	if code, is := asJob(os.Args[1:]); is {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

func TestStorm(t *testing.T)      { short(t, options{lasts: 8 * time.Second}) }
func TestStormRedis(t *testing.T) { short(t, options{lasts: 12 * time.Second, kind: "redis"}) }
func TestStormEtcd(t *testing.T)  { short(t, options{lasts: 12 * time.Second, kind: "etcd"}) }

func short(t *testing.T, o options) {
	if testing.Short() {
		t.Skip("a storm takes some seconds")
	}
	conduct(t, o)
}
