package wait

import "sync"

// suspending is one Ctrl-Z that is followed beside await, which goes on to hear signals: a call
// to the store may be under way, and it may take as long as another process keeps the pool's
// lock. (One run was suspended after a CONT that had come before, and stayed so.)
type suspending struct {
	mu              sync.Mutex
	canceled, taken bool
	done            chan struct{} // closed once this process was suspended, or will not be
}

func (w *Waiter) suspend() *suspending {
	s := &suspending{done: make(chan struct{})}
	go func() {
		defer close(s.done)
		w.suspendIf(func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.taken = !s.canceled && w.take()
			return s.taken
		})
	}()
	return s
}

// wait returns when it is over. No call to the store may be under way for long.
func (s *suspending) wait() {
	if s != nil {
		<-s.done
	}
}

// cancel returns at once, unless this process is just being suspended.
func (s *suspending) cancel() {
	if s == nil {
		return
	}
	s.mu.Lock()
	s.canceled = true
	taken := s.taken
	s.mu.Unlock()
	if taken {
		<-s.done
	}
}

// pending reports whether this process may still be suspended by it.
func (s *suspending) pending() bool {
	if s == nil {
		return false
	}
	select {
	case <-s.done:
		return false
	default:
		return true
	}
}
