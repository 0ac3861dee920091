package etcdstore

import (
	"encoding/json"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"berth/lease"
)

// waiting is the record of a waiter.
type waiting struct {
	lease.Ticket
	// Grantable: another may give it its slots. Not who has gates to be asked.
	Grantable bool `json:"waits,omitempty"`
	Kept      bool `json:"kept,omitempty"` // its waiter is gone, its key keeps the place
}

// placeOf leads from an id to the record.
type placeOf struct {
	Priority int       `json:"priority"`
	Seq      uint64    `json:"seq"`
	Since    time.Time `json:"since"`
	Aside    bool      `json:"aside,omitempty"`
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // all that is encoded here are structs of plain data
	}
	return string(b)
}

// record is anything decoded, with what etcd knows of it.
type record[T any] struct {
	*mvccpb.KeyValue // nil: it is not there
	value            T
}

func (r record[T]) exists() bool { return r.KeyValue != nil }

// rev is when it was last written, 0 when it is not there.
func (r record[T]) rev() int64 {
	if r.KeyValue == nil {
		return 0
	}
	return r.ModRevision
}

func decode[T any](kv *mvccpb.KeyValue) (r record[T], err error) {
	if kv == nil {
		return r, nil
	}
	r.KeyValue = kv
	if err = json.Unmarshal(kv.Value, &r.value); err != nil {
		err = damaged(kv, err)
	}
	return r, err
}

// decodeLease knows the token by when the record was made: it is not in the record,
// for what writes it cannot know it.
func decodeLease(kv *mvccpb.KeyValue) (record[lease.Lease], error) {
	r, err := decode[lease.Lease](kv)
	if kv == nil {
		return r, err
	}
	r.value.Token = uint64(kv.CreateRevision)
	if err == nil {
		if err = r.value.Check(); err != nil {
			err = damaged(kv, err)
		}
	}
	return r, err
}

// only is the one key that was asked for.
func only(kvs []*mvccpb.KeyValue) *mvccpb.KeyValue {
	if len(kvs) == 0 {
		return nil
	}
	return kvs[0]
}
