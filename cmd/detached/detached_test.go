//go:build unix

package detached

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const id = "p/0123456789ab"

func private(t *testing.T) string {
	dir := filepath.Join(t.TempDir(), "store")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func begin(t *testing.T, id, log string, stores ...string) *Job {
	j, err := Begin(id, log, stores...)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// TestWait: it returns when the berth has ended, and not before it has let the lock go.
func TestWait(t *testing.T) {
	dir := private(t)
	j := begin(t, id, "", dir)
	if _, err := j.Log.WriteString("said\n"); err != nil {
		t.Fatal(err)
	}
	waited := make(chan Result)
	go func() {
		r, err := Wait(id, false, dir)
		if err != nil {
			t.Error(err)
		}
		waited <- r
	}()
	if _, err := Wait(id, true, dir); !errors.Is(err, ErrRuns) {
		t.Errorf("before the end: %v", err)
	}
	reason := strings.Repeat("\x1b\xff", 9999)
	if err := j.End(143, 15, reason); err != nil {
		t.Fatal(err)
	}
	select {
	case <-waited:
		t.Error("it does not wait for the lock")
	default:
	}
	j.file.Close()
	r := <-waited
	if r.Code != 143 || r.Signal != 15 || r.Lease != id || r.PID != os.Getpid() || r.Ended.IsZero() || r.Reason == "" {
		t.Errorf("%+v", r)
	}
	if b, err := os.ReadFile(r.Log); string(b) != "said\n" || err != nil || r.Log != j.Path() {
		t.Errorf("log %s: %q, %v", r.Log, b, err)
	}
}

// TestKilled: a berth that was killed leaves no result, and none is made up.
func TestKilled(t *testing.T) {
	dir := private(t)
	j := begin(t, id, "", dir)
	j.file.Close()
	if _, err := Wait(id, false, dir); !errors.Is(err, ErrKilled) {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, Name, "p.0123456789ab.result"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Wait(id, false, dir); err == nil || errors.Is(err, ErrKilled) {
		t.Errorf("an empty record: %v", err)
	}
}

// TestRecordKeepsItsSize: the end can be written on a full disk.
func TestRecordKeepsItsSize(t *testing.T) {
	j := begin(t, id, "", private(t))
	size := func() int64 {
		fi, err := j.file.Stat()
		if err != nil {
			t.Fatal(err)
		}
		return fi.Size()
	}
	before := size()
	j.result.Log = strings.Repeat("\x01", 99999)
	if err := j.End(0, 0, strings.Repeat("\x01", 99999)); err != nil || before != recordSize || size() != recordSize {
		t.Errorf("%d, then %d bytes: %v", before, size(), err)
	}
}

// TestWhere: never in a directory that others can write to.
func TestWhere(t *testing.T) {
	shared, mine := private(t), filepath.Join(t.TempDir(), "mine")
	if err := os.Chmod(shared, 0o2770); err != nil {
		t.Fatal(err)
	}
	j := begin(t, id, "", shared, mine)
	if _, err := os.Stat(filepath.Join(shared, Name)); err == nil || !strings.HasPrefix(j.Path(), mine) {
		t.Errorf("it is in %s", j.Path())
	}
	_ = j.End(7, 0, "")
	j.file.Close()
	if r, err := Wait(id, false, shared, mine); r.Code != 7 || err != nil {
		t.Errorf("%+v, %v", r, err)
	}
	if err := os.Chmod(filepath.Join(mine, Name), 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Wait(id, false, shared, mine); !errors.As(err, new(*UnknownError)) {
		t.Errorf("a record that others could have written: %v", err)
	}
	if _, err := Begin("p/ab", "", shared, mine); err == nil {
		t.Error("it begins where others can write")
	}
}

// TestNothingIsLeftBehind after an error, nor of a job that was not to be.
func TestNothingIsLeftBehind(t *testing.T) {
	dir := private(t)
	begin(t, id, "", dir).Discard()
	if _, err := Begin(id, filepath.Join(dir, "none", "log"), dir); err == nil {
		t.Error("a log that cannot be opened")
	}
	log := filepath.Join(dir, "mine")
	begin(t, id, log, dir).Discard()
	if _, err := os.Stat(log); err != nil {
		t.Errorf("a file of the user's is gone: %v", err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, Name)); len(left) > 0 || err != nil {
		t.Errorf("%v, %v", left, err)
	}
}

// TestOldOnesAreRemoved when the next one begins, but not what still runs.
func TestOldOnesAreRemoved(t *testing.T) {
	dir := private(t)
	over, runs := begin(t, "p/00", "", dir), begin(t, "p/11", "", dir)
	over.file.Close()
	long := time.Now().Add(-keepFor - time.Hour)
	for _, j := range []*Job{over, runs} {
		if err := os.Chtimes(filepath.Join(dir, Name, fileOf(j.result.Lease)+recordSuffix), long, long); err != nil {
			t.Fatal(err)
		}
	}
	begin(t, id, "", dir)
	var names []string
	left, err := os.ReadDir(filepath.Join(dir, Name))
	for _, e := range left {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != "p.0123456789ab.log p.0123456789ab.result p.11.log p.11.result" || err != nil {
		t.Errorf("left: %s, %v", got, err)
	}
}
