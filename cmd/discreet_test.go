//go:build unix

package cmd

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"berth/cmd/open"
)

// Two halves of a password. Neither is a part of anything else that berth says.
const (
	half  = "Zq7uno"
	other = "Zq8dos"
)

// nowhereAt refuses connections at once.
const nowhereAt = "127.0.0.1:1"

// slips are what is typed for redis://u:PASSWORD@HOST, those first that are unlike each
// other.
func slips() (all []string, unlike int) {
	pw, at := half+other, "@"+nowhereAt
	first := []string{
		"redis:u:" + pw + at, "redis//" + pw + at, "redis://u:" + pw + at, pw + at, "x/u:" + pw + at,
		"redis:u:" + half + "," + other + at, "redis:u:" + half + "=" + other + at, "redis:u:" + half + "\u202e" + other + at,
		"redis://u:" + half + "'\n" + other + at, "redis://" + nowhereAt + "?password=" + pw, "redis://u:" + pw, "BERTH_STORE=redis://:" + pw + "/0",
		"redis:" + strings.Repeat("u", 70) + ":" + pw + at,
	}
	return append(first, []string{
		"redis:u:" + pw + at, "redis:/u:" + pw + at, "redis//u:" + pw + at, "redis///u:" + pw + at, "REDIS:u:" + pw + at + "/0",
		"redis:" + pw + at, "redis//" + pw + at, "redis://" + pw + at, "redis:///u:" + pw + at,
		"Redis://u:" + pw + at, "redsi://u:" + pw + at, "redsi:u:" + pw + at, "redis;//u:" + pw + at, `redis:\\u:` + pw + at,
		"u:" + pw + at, ":" + pw + at, pw + at, "//u:" + pw + at, "://u:" + pw + at, "x/u:" + pw + at, "u:" + pw + at + ",h:1/0",
		"redis://u:" + half + "/" + other + at, "redis://u:" + half + "?" + other + at, "redis://u:" + half + "#" + other + at,
		"redis://u:12#" + other + at, "redis://u:" + pw + "%ZZ" + at, "redis://u:" + half + "%" + other + at,
		"redis://u:" + half + "@" + other + at, "rediss://u:" + half + "@" + other + at, "redis:u:" + half + "@" + other + at,
		"redis://u:" + half + " " + other + at, "redis:u:" + half + " " + other + at, "redis://u:" + half + "\n" + other + at,
		"redis:u:" + half + "\u202e" + other + at, "redis:u:" + half + "'" + other + at, `redis:u:` + half + `"` + other + at,
		"redis:u:" + half + "," + other + at, "redis:u:" + half + "=" + other + at, "redis:u:" + half + ":" + other + at,
		"redis:u:" + half + "/" + other + at, "u:" + half + "/" + other + at, "u:" + half + "," + other + at, "redis:u:" + half + "://" + other + at,
		`"redis://u:` + pw + at + `"`, " redis://u:" + pw + at, "redis://u:" + pw + at + " ", `'redis:u:` + pw + at + `'`,
		"etcd://u:" + pw + at, "etcds:u:" + pw + at, "unix:u:" + pw + "@/tmp/none", "unix://:" + pw + "@/tmp/none",
		"redis+sentinel://" + nowhereAt + "/m?sentinel_password=" + pw, "redis+sentinel:" + nowhereAt + "/m?sentinel_password=" + pw,
		"redis://" + nowhereAt + "?password=" + pw, "redis:" + nowhereAt + "?password=" + pw, nowhereAt + "?password=" + pw,
		"redis://" + nowhereAt + "?password=" + half + "%ZZ" + other,
		"redis://u:" + pw, "redis:u:" + pw, "redis://:" + pw + "/0", "u:" + pw + "@redis://" + nowhereAt, "redis://[u:" + pw + at,
		"redis:" + strings.Repeat("u", 70) + ":" + pw + at, "redis://u:" + strings.Repeat("x", 70) + pw + at,
		"~u:" + pw + at, "--redis://u:" + pw + at, "-redis:u:" + pw + at, "BERTH_STORE=redis://u:" + pw + at, "store=redis:u:" + pw + at,
	}...), len(first)
}

// ofStore are the command lines in which W is the store, and the variables that hold it.
var ofStore = [][]string{
	{"run", "--store", "W", "--", "true"}, {"BERTH_STORE=W", "run", "-v", "--wait", "0", "true"}, {"ls", "--store", "W", "p"}, {"limit", "--store", "W", "p", "3"},
	{"probe", "--store", "W"}, {"BERTH_STORE=W", "stop", "--pool", "p"}, {"keepalive", "--store", "W", "p/0123456789ab"}, {"held", "-v", "--store", "W", "p"},
}

// places are others in which it may have got.
var places = [][]string{
	{"run", "--store", "W", "--", "true"}, {"run", "--store=W", "true"}, {"run", "-store", "W", "true"}, {"run", "-store=W", "true"},
	{"BERTH_STORE=W", "run", "true"}, {"BERTH_STORE=W", "run", "-v", "--wait", "0", "true"}, {"run", "true", "--store=W"},
	{"run", "--sotre", "W", "true"}, {"run", "--sotre=W", "true"}, {"run", "-sotre=W", "true"}, {"run", "-s", "W", "true"}, {"run", "-W", "true"},
	{"run", "--W", "true"}, {"run", "W", "true"}, {"run", "W"}, {"run", "--", "W", "--", "true"}, {"run", "--store", "--", "W", "true"}, {"run", "--store", "--verbose", "W", "true"},
	{"run", "--store", "W", "--store", "etcd://x", "true"}, {"run", "--store", "/x", "--store", "W", "true"}, {"run", "--store", "-W", "true"},
	{"run", "-pW", "true"}, {"run", "--pool", "W", "true"}, {"run", "--wait", "W", "true"}, {"run", "-n", "W", "true"}, {"run", "-nW", "true"}, {"run", "-qn2W", "true"},
	{"run", "--label", "W", "true"}, {"run", "--label", "W=x", "true"}, {"run", "--label", "a=W", "--label", "a=b", "true"}, {"run", "--need", "W", "true"}, {"run", "--need", "mem=W", "true"},
	{"run", "--max-pressure", "W", "true"}, {"run", "--min-disk", "W", "true"}, {"run", "--min-disk", "W=1G", "true"}, {"run", "--min-mem", "W", "true"},
	{"run", "--on-busy", "W", "true"}, {"run", "--signal", "W", "true"}, {"run", "--verbose=W", "true"}, {"run", "--rate", "W", "true"}, {"run", "--priority", "W", "true"},
	{"run", "--timeout", "W", "true"}, {"run", "--ticket", "--", "W", "true"}, {"run", "--need", "mem=2G", "W=1", "--", "true"}, {"run", "--store", "W", "--", "cd", "x"},
	{"run", "--store", "W", "--ttl", "1h", "--exec", "true"}, {"run", "--store", "W", "--redis-wait", "1", "true"}, {"run", "--store", "W", "--store-owner", "root", "true"},
	{"BERTH_WAIT=W", "run", "true"}, {"BERTH_QUIET=W", "run", "true"}, {"run", "--store", "/x", "--store-owner", "W", "true"}, {"BERTH_STORE_OWNER=W", "run", "true"},
	{"W"}, {"W", "ls"}, {"--store", "W", "ls"}, {"--store=W", "run", "true"}, {"--store=W"}, {"--sotre=W", "ls"}, {"-W", "ls"}, {"help", "W"}, {"version", "W"},
	{"ls", "--store", "W"}, {"ls", "--store=W", "p"}, {"ls", "--store", "W", "--json"}, {"BERTH_STORE=W", "ls"}, {"ls", "W"}, {"ls", "-p", "W"}, {"ls", "--W"},
	{"limit", "--store", "W", "p", "3"}, {"BERTH_STORE=W", "limit", "p", "3"}, {"limit", "W", "3"}, {"limit", "p", "W"}, {"limit", "--sotre", "W", "p", "3"}, {"limit", "p", "3", "--reason=x", "W"},
	{"probe", "--store", "W"}, {"BERTH_STORE=W", "probe", "-p", "p"}, {"probe", "W"}, {"probe", "-p", "W"},
	{"stop", "--store", "W", "p/0123456789ab"}, {"BERTH_STORE=W", "stop", "--pool", "p"}, {"stop", "W"}, {"stop", "--pool", "W"}, {"stop", "--label", "W"}, {"stop", "p/0123456789ab", "--store", "W"},
	{"keepalive", "--store", "W", "p/0123456789ab"}, {"BERTH_STORE=W", "BERTH_LEASE=p/0123456789ab", "keepalive"}, {"keepalive", "W"}, {"BERTH_LEASE=W", "keepalive"}, {"BERTH_LEASE=W", "run", "true"},
	{"token", "check", "--store", "W", "f"}, {"token", "W"}, {"token", "--token", "W", "check", "f"}, {"BERTH_TOKEN=W", "token", "check", "f"}, {"token", "check", "f", "W"}, {"BERTH_TOKEN=1", "token", "check", "none/W"},
	{"held", "--store", "W", "p"}, {"BERTH_STORE=W", "held", "-v", "p"}, {"held", "W"}, {"held", "p", "W"},
}

// TestNoPasswordIsSaid: whatever is wrong with the words, what may be a password is in
// nothing that berth says, and no directory is made.
func TestNoPasswordIsSaid(t *testing.T) {
	t.Parallel()
	berth, err := exec.LookPath("berth")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	room := make(chan struct{}, 4)
	all, unlike := slips()
	for i, slip := range all {
		places := places
		if i >= unlike {
			places = nil
		}
		wg.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "redis"), 0o700); err != nil { // the way to what may be made
				t.Error(err)
			}
			for _, place := range slices.Concat(ofStore, places) {
				said := sayIn(t, berth, dir, slip, place)
				if strings.Contains(said, half) || strings.Contains(said, other) {
					t.Errorf("%q with %q:\n%s", place, slip, said)
				}
			}
			made, err := filepath.Glob(filepath.Join(dir, "*"))
			deeper, _ := filepath.Glob(filepath.Join(dir, "*", "*"))
			if err != nil || len(made)+len(deeper) != 1 {
				t.Errorf("%q: %q %q, %v", slip, made, deeper, err)
			}
		})
	}
	wg.Wait()
}

// sayIn is what berth says to a slip in that place.
func sayIn(t *testing.T, berth, dir, slip string, place []string) string {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	var args []string
	env := []string{"PATH=/nonexistent:" + filepath.Dir(trueProgram), "HOME=" + dir, "BERTH_STORE=" + filepath.Join(dir, "none", "none"), open.Becoming + "=1", "GORACE=atexit_sleep_ms=0"}
	for _, w := range place {
		name, _, assigns := strings.Cut(w, "=")
		w = strings.ReplaceAll(w, "W", slip)
		if assigns && strings.HasPrefix(name, "BERTH_") && len(args) == 0 {
			env = append(slices.DeleteFunc(env, func(e string) bool { return strings.HasPrefix(e, name+"=") }), w)
		} else {
			args = append(args, w)
		}
	}
	c := exec.CommandContext(ctx, berth, args...)
	c.Args[0], c.Dir, c.Env = "berth", dir, env
	out, err := c.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || ctx.Err() != nil) {
		t.Errorf("%q with %q: %v", place, slip, err)
	}
	if bytes.Contains(out, []byte("panic")) {
		t.Errorf("%q with %q: %s", place, slip, out)
	}
	return string(out)
}

var trueProgram, _ = exec.LookPath("true")
