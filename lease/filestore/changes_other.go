//go:build unix && !linux

package filestore

import "context"

// events are for Linux only.
func (w *changes) events(context.Context) <-chan struct{} { return nil }
