//go:build unix && !linux

package filestore

import (
	"context"
	"errors"
	"time"

	"berth/lease"
)

// watch exists on Linux only; elsewhere the head of a line polls.
type watch struct{}

func newWatch(*dir) (*watch, error) { return nil, errors.ErrUnsupported }

func (*watch) wait(context.Context, time.Duration) ([]int, error)         { return nil, errors.ErrUnsupported }
func (*watch) follow(int, []lease.Process, func(lease.Process) bool) bool { return false }
func (*watch) close()                                                     {}
