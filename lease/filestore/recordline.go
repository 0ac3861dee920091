//go:build unix

package filestore

import (
	"encoding/json"
	"fmt"

	"berth/lease"
)

// anyLine has what tells one kind of line from the others.
type anyLine struct {
	Version *int            `json:"v"`
	Beat    *int64          `json:"beat"`
	Child   json.RawMessage `json:"child"`
	Adopter json.RawMessage `json:"adopter"`
	Slots   json.RawMessage `json:"slots"`
	note
}

// checkVersion looks at nothing else: the rest of a newer line may have another form.
func checkVersion(line []byte) error {
	var version struct {
		V *int `json:"v"`
	}
	if json.Unmarshal(line, &version) == nil && version.V != nil && *version.V > lease.Version {
		return fmt.Errorf("%w (version %d, this one knows %d)", errNewer, *version.V, lease.Version)
	}
	return nil
}

func (r *record) add(line []byte) error {
	if err := checkVersion(line); err != nil {
		return err
	}
	var l anyLine
	if json.Unmarshal(line, &l) != nil {
		return errGarbage
	}
	switch {
	case l.Version != nil && *l.Version < 1:
		return errGarbage
	case l.Version != nil && l.Slots != nil:
		return r.addLease(line)
	case l.Version != nil:
		return r.addTicket(line)
	case l.Beat != nil:
		r.heartbeat = &heartbeat{}
		return readable(line, r.heartbeat)
	case l.Child != nil:
		return r.addChild(&l)
	case l.Stop != nil:
		r.stop = l.Stop
	case l.Aside != nil:
		r.aside = l.Aside
	case l.Told != nil:
		r.addTold(l.Told)
	default:
		return errGarbage
	}
	return nil
}

func readable(line []byte, into any) error {
	if json.Unmarshal(line, into) != nil {
		return errGarbage
	}
	return nil
}

func (r *record) addLease(line []byte) error {
	l := &lease.Lease{}
	if json.Unmarshal(line, l) != nil || len(l.Slots) == 0 || l.ID == "" {
		return errGarbage
	}
	if err := l.Check(); err != nil {
		return fmt.Errorf("%w: %w", errGarbage, err)
	}
	if pool, err := lease.PoolOf(l.ID); l.Pool != "" && (err != nil || pool != l.Pool) {
		return fmt.Errorf("%w: %q is not the id of a lease of pool %q", errGarbage, l.ID, l.Pool)
	}
	r.lease = l
	return nil
}

func (r *record) addTicket(line []byte) error {
	t := &lease.Ticket{}
	if json.Unmarshal(line, t) != nil || t.ID == "" {
		return errGarbage
	}
	r.ticket = t
	return nil
}

func (r *record) addChild(l *anyLine) error {
	if err := readable(l.Child, &r.child); err != nil || l.Adopter == nil {
		return err
	}
	return readable(l.Adopter, &r.adopter)
}

// addTold passes over what it does not know. A forged line cannot end a job: only a waiter can be
// superseded.
func (r *record) addTold(line json.RawMessage) {
	var t told
	if json.Unmarshal(line, &t) != nil {
		return
	}
	switch {
	case t.Kind == lease.MessageSupersede && r.ticket != nil:
		r.stop = &lease.Stop{}
		if t.Stop != nil {
			r.stop = t.Stop
		}
	case t.Kind == lease.MessageRelease && r.lease != nil:
		r.release = true
	}
}
