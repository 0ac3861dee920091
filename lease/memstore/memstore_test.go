package memstore_test

import (
	"testing"

	"berth/lease"
	"berth/lease/memstore"
	"berth/lease/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Shape{
		Open:        func(*testing.T) lease.Store { return &memstore.Store{} },
		NoTTL:       "it has no clock, and nobody who could be gone",
		NoLostReply: "a step is a call of a function",
	})
}
