//go:build unix

package filestore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"berth/lease"
	"berth/lease/clock"
)

// A slot's file and a ticket's file are a few lines of JSON:
//
//	{"beat":       81234567890,"keepalive":                  0}
//	{"child":{"pid":812,"start":61234,…},"adopter":{…}        }
//	{"v":1,"id":"build/5d0c…","pool":"build","slots":[3], … }
//	{"stop":{"reason":"node drain"}}
//
// A lease begins with two lines of a fixed length, which its owner writes in
// place: they lie in the first page of the file, and a kill does not tear a
// write within a page. The lease or the ticket itself never changes. Other processes
// append their lines under the pool's lock. So the owner need not wait for them: no two
// writers touch the same bytes of a lease.
//
// An empty file is a free slot, and so is one that begins with freeMark, whatever
// follows. Anything else that cannot be read is not free: garbage proves nothing about
// a job that may be running.
//
// A release writes the mark, and a grant overwrites the whole file and pads it with
// blanks. A truncate would cost ten times as much as either: it was a tenth of a
// hand-over. The file also keeps its blocks if the disk becomes full.

// heartbeat is the first line of a slot's file: when berth last wrote it, and when the job
// last called berth keepalive, in ns on the boot clock. That clock does not jump when
// the time is set, and it is the same in every process.
type heartbeat struct {
	Beat      clock.Instant `json:"beat"`
	Keepalive clock.Instant `json:"keepalive"`
}

const (
	heartbeatFmt = `{"beat":%20d,"keepalive":%20d}` + "\n"
	freeMark     = `{"free":true}                                                 ` + "\n" // as long as a heartbeat
	heartbeatAt  = 8
	keepaliveAt  = heartbeatAt + 20 + 13
	childAt      = keepaliveAt + 20 + 2
	childLen     = 384 // a host name has at most 64 bytes, so the line is below 250
	// keptSize is the size up to which a slot's file is not truncated.
	keptSize = 16 << 10
	// maxRecord bounds what is read of a record. In ours, escaped labels take at most
	// 24 KiB, and everything else less than 16 KiB; a larger file is not ours.
	maxRecord = 64 << 10
	// maxListed bounds the size of all records of a directory in a list, without
	// blanks: some 50,000 of the usual size.
	maxListed = 32 << 20
)

// note is a line appended under the pool's lock.
type note struct {
	Stop *lease.Stop `json:"stop,omitempty"`
	// Told is a message of a kind that this berth does not know: it is passed over, and
	// makes no garbage of the record.
	Told  json.RawMessage `json:"told,omitempty"`
	Aside *aside          `json:"aside,omitempty"`
}

// told is a message of a kind that came after stop, in Told: a berth that does not know it goes on.
type told struct {
	Kind lease.MessageKind `json:"kind"`
	Stop *lease.Stop       `json:"stop,omitempty"`
}

// noteOf is the line for a message.
func noteOf(m lease.Message) (note, error) {
	if m.Kind == lease.MessageStop {
		return note{Stop: &m.Stop}, nil
	}
	t := told{Kind: m.Kind}
	if m.Stop != (lease.Stop{}) {
		t.Stop = &m.Stop
	}
	b, err := json.Marshal(t)
	return note{Told: b}, err
}

// aside says that the waiter of a ticket is not to be waited for.
type aside struct {
	// Back takes it back: the waiter stands in the line again.
	Back bool `json:"back,omitempty"`
	// Left is when it stepped aside, on the clock of the boot Boot.
	Left clock.Instant `json:"left"`
	Boot string        `json:"boot,omitempty"`
	// Gone: the waiter has ended; its key keeps the place.
	Gone bool `json:"gone,omitempty"`
}

// record is what a slot's or a ticket's file says.
type record struct {
	heartbeat *heartbeat
	child     *lease.Process
	adopter   *lease.Process // of a kept lease
	lease     *lease.Lease
	ticket    *lease.Ticket
	stop      *lease.Stop
	release   bool // the keeper is to give the lease back
	aside     *aside
	size      int // without blanks at the end of its lines
}

var (
	errGarbage = errors.New("it does not contain a record")
	errNewer   = errors.New("it was written by a newer berth")
)

// parseRecord reads such a file; of several lines of a kind the last one counts. It
// returns (nil, nil) for a free slot.
func parseRecord(b []byte) (*record, error) {
	if isFree(b) {
		return nil, nil
	}
	if len(b) > maxRecord {
		return nil, fmt.Errorf("%w: it is longer than %d bytes", errGarbage, maxRecord)
	}
	r := &record{}
	for len(b) > 0 {
		line, rest, whole := bytes.Cut(b, []byte("\n"))
		b = rest
		if !whole {
			return nil, errGarbage
		}
		filled := bytes.Trim(line, " ")
		if len(filled) == 0 {
			continue // see overwrite
		}
		r.size += len(filled)
		if err := r.add(line); err != nil {
			return nil, err
		}
	}
	if (r.lease == nil) == (r.ticket == nil) {
		return nil, errGarbage
	}
	if r.lease != nil {
		r.setProcesses()
	}
	return r, nil
}

// setProcesses has the lease say what its second line says.
func (r *record) setProcesses() {
	l := r.lease
	if !l.Kept {
		r.adopter = nil
	}
	if a := r.adopter; a != nil {
		a.Boot, a.PIDNS, a.Host = l.Owner.Boot, l.Owner.PIDNS, l.Owner.Host
		if c := r.child; c != nil && c.PID == a.PID && c.Start == a.Start {
			r.child = nil
		}
	}
	l.Adopter = r.adopter
	if r.child != nil {
		l.Child, l.State = r.child, lease.Running
	}
}

// isFree compares only the beginning of the mark: a late keepalive may overwrite its end.
func isFree(b []byte) bool {
	return len(b) == 0 || bytes.HasPrefix(b, []byte(freeMark[:keepaliveAt]))
}

// readRecord reads what an owner may be writing just now, without a lock. A read that finds half
// of the old line and half of the new one is repeated.
func readRecord(f *os.File) (*record, error) {
	for try := 0; ; try++ {
		b, err := readAll(f)
		if err != nil {
			return nil, err
		}
		r, err := parseRecord(b)
		if !errors.Is(err, errGarbage) || try == 3 {
			return r, err
		}
	}
}

// readAll reads a slot's or a ticket's file, up to a byte more than a record may have.
func readAll(f *os.File) ([]byte, error) {
	return io.ReadAll(io.NewSectionReader(f, 0, maxRecord+1))
}

func jsonLine(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	return append(b, '\n'), err
}

// appendLine adds v as one line at the end. Only under the pool's lock.
func appendLine(f *os.File, v any) error {
	b, err := jsonLine(v)
	if err != nil {
		return err
	}
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if end+int64(len(b)) > maxRecord {
		return &fs.PathError{Op: "write", Path: f.Name(), Err: errors.New("it has too many notes already")}
	}
	if _, err := f.WriteAt(b, end); err != nil {
		_ = f.Truncate(end) // half a line would be garbage
		return err
	}
	return nil
}

// processes is the second line of a lease. An adopter without a child is recorded as the child,
// too, see adopt.go. It is on the machine of the lease's owner, and only what differs is written:
// two hosts of 64 bytes would not fit into the line.
type processes struct {
	Child   *lease.Process `json:"child"`
	Adopter *lease.Process `json:"adopter,omitempty"`
}

// childLine is that line, padded to childLen.
func childLine(child, adopter *lease.Process) ([]byte, error) {
	if child == nil {
		child = adopter
	}
	both := processes{Child: child}
	if adopter != nil {
		both.Adopter = &lease.Process{PID: adopter.PID, Start: adopter.Start}
	}
	line, err := json.Marshal(both)
	if err != nil {
		return nil, err
	}
	line = line[:len(line)-1] // the brace comes after the blanks
	if len(line) > childLen-2 {
		return nil, fmt.Errorf("the identity of the child takes %d bytes, there is room for %d", len(line), childLen-2)
	}
	for len(line) < childLen-2 {
		line = append(line, ' ')
	}
	return append(line, '}', '\n'), nil
}

// writeLease overwrites a free slot's file. The first line is written last: a kill before
// that leaves a free slot, though a long record takes several pages.
func (s *Store) writeLease(f *os.File, l *lease.Lease) error {
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	body, err := childLine(nil, nil)
	if err != nil {
		return err
	}
	line, err := json.Marshal(l)
	if err != nil {
		return err
	}
	body = append(body, line...)
	for int64(len(freeMark)+len(body)+1) < min(fi.Size(), keptSize) {
		body = append(body, ' ')
	}
	if err := writeFreeMark(f); err != nil { // the file may be new, or its last owner was killed
		return err
	}
	if _, err = f.WriteAt(append(body, '\n'), int64(len(freeMark))); err != nil {
		return err
	}
	if fi.Size() > keptSize { // notes have made it long
		if err := f.Truncate(int64(len(freeMark) + len(body) + 1)); err != nil {
			return err
		}
	}
	_, err = f.WriteAt(fmt.Appendf(nil, heartbeatFmt, s.Clock(), 0), 0)
	return err
}

// writeFreeMark makes the slot free, whatever the file contains.
func writeFreeMark(f *os.File) error {
	_, err := f.WriteAt([]byte(freeMark), 0)
	return err
}

func (s *Store) writeHeartbeat(f *os.File) error {
	_, err := f.WriteAt(fmt.Appendf(nil, "%20d", s.Clock()), heartbeatAt)
	return err
}
