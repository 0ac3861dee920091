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
	// Grantable: another berth may grant it its slots. A waiter with gates is not.
	Grantable bool `json:"waits,omitempty"`
	Kept      bool `json:"kept,omitempty"` // its waiter is gone, and its key keeps the place
}

// placeOf leads from an id to the record of a waiter.
type placeOf struct {
	Priority int       `json:"priority"`
	Seq      uint64    `json:"seq"`
	Since    time.Time `json:"since"`
	Aside    bool      `json:"aside,omitempty"`
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only structs of plain data are encoded here
	}
	return string(b)
}

// record is a decoded value with what etcd knows of it.
type record[T any] struct {
	*mvccpb.KeyValue // nil: it does not exist
	value            T
}

func (r record[T]) exists() bool { return r.KeyValue != nil }

// rev is the revision of the last write, 0 when it does not exist.
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

// decodeLease takes the token from the revision of creation. It is not in the record,
// because it is unknown when the record is written.
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

// only is the single key of a read, or nil.
func only(kvs []*mvccpb.KeyValue) *mvccpb.KeyValue {
	if len(kvs) == 0 {
		return nil
	}
	return kvs[0]
}
