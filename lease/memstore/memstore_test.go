package memstore_test

import (
	"testing"

	"berth/lease"
	"berth/lease/memstore"
	"berth/lease/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) lease.Store { return &memstore.Store{} })
}
