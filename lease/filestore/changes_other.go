//go:build unix && !linux

package filestore

import "context"

// Changes exists on Linux only.
func (s *Store) Changes(context.Context, []string) <-chan struct{} { return nil }
