//go:build unix && !linux

package filestore

import "errors"

// watch exists on Linux only; elsewhere the head of a line polls.
type watch struct{}

func newWatch(string) (*watch, error) { return nil, errors.ErrUnsupported }
func (*watch) events() <-chan int     { return nil }
func (*watch) close()                 {}
