package memstore

import (
	"context"
	"errors"
	"fmt"

	"berth/lease"
)

// Adopt implements lease.Store.
func (s *Store) Adopt(_ context.Context, id string, _ lease.Process) (lease.Holding, error) {
	return nil, fmt.Errorf("%s: to run under a kept lease: %w", id, errors.ErrUnsupported)
}

// Watch implements lease.Store.
func (s *Store) Watch(context.Context, ...string) (<-chan struct{}, error) {
	return nil, errors.ErrUnsupported
}
