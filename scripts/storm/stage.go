//go:build linux

package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"

	"berth/lease/storetest/engine"
)

// stage is the engine.T of a storm outside of a test.
type stage struct {
	mu       sync.Mutex
	failed   bool
	cleanups []func()
}

// onStage runs f to its end, cleans up, and reports whether nothing was wrong.
func onStage(f func(engine.T)) (ok bool) {
	s, done := &stage{}, make(chan struct{})
	go func() { // of its own, because Fatalf ends it
		defer close(done)
		defer s.clean()
		f(s)
	}()
	<-done
	return !s.Failed()
}

func (s *stage) clean() {
	for _, f := range slices.Backward(s.cleanups) {
		f()
	}
}

func (s *stage) Helper() {}

func (s *stage) TempDir() string {
	dir, err := os.MkdirTemp("", "storm-")
	if err != nil {
		s.Fatalf("%v", err)
	}
	s.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (s *stage) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

func (s *stage) Failed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

func (s *stage) Logf(format string, args ...any) { fmt.Printf(format+"\n", args...) }

func (s *stage) Errorf(format string, args ...any) {
	s.mu.Lock()
	s.failed = true
	s.mu.Unlock()
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

func (s *stage) Fatalf(format string, args ...any) {
	s.Errorf(format, args...)
	runtime.Goexit()
}

// Skipf is an error here: a storm that did not happen would be taken for one that
// found nothing.
func (s *stage) Skipf(format string, args ...any) { s.Fatalf(format, args...) }
