// Package detached keeps what is left of jobs that go on after their caller: their output, and
// how they ended. These are files of the user alone, in a directory that no other user can
// write to, so that nobody can make up the end of a job.
//
// A lock on the record is held for as long as the job's berth lives. So a process that waits for the
// end waits for that lock, whatever store the job's slot is in, and a berth that was killed has
// ended without a result.
package detached

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Result is how a job ended.
type Result struct {
	Lease  string    `json:"lease"`
	Log    string    `json:"log"`
	PID    int       `json:"pid"` // of its berth
	Ended  time.Time `json:"ended,omitzero"`
	Code   int       `json:"code"`             // its exit code
	Signal int       `json:"signal,omitempty"` // that ended it; Code is 128 more
	Reason string    `json:"reason,omitempty"` // why berth ended it, or did not start it
}

// recordSize is the size of a record from the first moment: that it has ended can then be
// written though the disk is full by that time.
const recordSize = 4096

// maxReason bounds a reason, in bytes, and maxPath the path of a log: in JSON each byte can take
// six.
const maxReason, maxPath = 256, 2048

// encode is a record with blanks up to its size, which JSON allows.
func (r Result) encode() ([]byte, error) {
	r.Reason = strings.ToValidUTF8(r.Reason[:min(len(r.Reason), maxReason)], "")
	if len(r.Log) > maxPath {
		r.Log = ""
	}
	b, err := json.Marshal(r)
	if err == nil && len(b) >= recordSize {
		r.Log, r.Reason = "", ""
		b, err = json.Marshal(r)
	}
	if err != nil {
		return nil, err
	}
	return append(b, strings.Repeat(" ", recordSize-1-len(b))+"\n"...), nil
}

// keepFor is how long files are kept after the end of a job.
const keepFor = 7 * 24 * time.Hour

// Name is the directory in a store.
const Name = ".detached"

// UnknownError says that there is no record of a lease.
type UnknownError struct{ Lease string }

func (e *UnknownError) Error() string {
	return fmt.Sprintf("%s was not started here with berth run --detach, or its record is gone", e.Lease)
}

// ErrKilled says that the berth of a job has ended without a result.
var ErrKilled = errors.New("its berth was killed")

// ErrRuns says that a job has not ended.
var ErrRuns = errors.New("it has not ended")

// fileOf is the name of a lease's files, without what stands behind the last dot. No pool's
// name has a slash.
func fileOf(id string) string { return strings.ReplaceAll(id, "/", ".") }

const recordSuffix, logSuffix = ".result", ".log"

// Job is a job of ours that goes on by itself.
type Job struct {
	Log    *os.File // for its output
	result Result
	root   *os.Root
	dir    string
	file   *os.File // the record; has the lock
	own    bool     // the log is one of our directory
}

// Begin makes the record and opens the log of a job: the file log, or one of its own if that is
// "". The directory is in the first of the stores that is a directory of this user alone; the
// last of them is made if it is missing. After an error nothing is left behind, except for a log
// that the caller has named.
func Begin(id, log string, stores ...string) (j *Job, err error) {
	root, dir, err := openDir(stores, true)
	if err != nil {
		return nil, err
	}
	removeOld(root)
	j = &Job{root: root, dir: dir, result: Result{Lease: id, PID: os.Getpid()}, own: log == ""}
	if err = j.open(log); err != nil {
		j.Discard()
		return nil, err
	}
	return j, nil
}

func (j *Job) open(log string) (err error) {
	name := fileOf(j.result.Lease)
	if j.file, err = j.root.OpenFile(name+recordSuffix, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return err
	}
	if err = tryLock(j.file); err != nil {
		return err
	}
	if j.own {
		j.result.Log = filepath.Join(j.dir, name+logSuffix)
		j.Log, err = j.root.OpenFile(name+logSuffix, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	} else if err = j.openUsers(log); err != nil {
		return fmt.Errorf("--log: %w", err)
	}
	if err != nil {
		return err
	}
	return j.write()
}

func (j *Job) openUsers(log string) (err error) {
	if j.result.Log, err = filepath.Abs(log); err == nil {
		j.Log, err = openLog(log)
	}
	return err
}

func (j *Job) write() error {
	b, err := j.result.encode()
	if err == nil {
		_, err = j.file.WriteAt(b, 0)
	}
	return err
}

// Path is where the output is.
func (j *Job) Path() string { return j.result.Log }

// End writes how the job ended. The lock is held until this process has ended.
func (j *Job) End(code, signal int, reason string) error {
	j.result.Ended, j.result.Code, j.result.Signal, j.result.Reason = time.Now(), code, signal, reason
	return j.write()
}

// Discard removes what Begin has made.
func (j *Job) Discard() {
	name := fileOf(j.result.Lease)
	if j.file != nil {
		_ = j.root.Remove(name + recordSuffix)
		j.file.Close()
	}
	if j.Log != nil {
		j.Log.Close()
		if j.own {
			_ = j.root.Remove(name + logSuffix)
		}
	}
	j.root.Close()
}

// Wait waits until the job has ended, and returns how; with now set it does not wait, and the
// error is ErrRuns if the job has not ended. It cannot be interrupted: a caller that gives up
// leaves it behind. *UnknownError if no record is there, and ErrKilled, with what is known, if
// the job's berth has ended without a word.
func Wait(id string, now bool, stores ...string) (r Result, err error) {
	f, err := find(id, stores)
	if err != nil {
		return r, err
	}
	defer f.Close()
	if err := shareLock(f, now); err != nil {
		return r, fmt.Errorf("cannot wait for %s: %w", id, err)
	}
	b := make([]byte, recordSize)
	n, _ := f.ReadAt(b, 0)
	if err := json.Unmarshal(b[:n], &r); err != nil || r.Lease != id {
		return r, fmt.Errorf("the record of %s (%s) cannot be read", id, f.Name())
	}
	if r.Ended.IsZero() {
		return r, ErrKilled
	}
	return r, nil
}
