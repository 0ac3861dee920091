package lease

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// counting is a holding whose renewals fail every second time.
type counting struct {
	Holding
	n int
}

func (c *counting) Renew(context.Context) (Signs, error) {
	if c.n++; c.n%2 == 0 {
		return Signs{}, errors.New("out of reach")
	}
	return Signs{Keepalive: time.Duration(c.n)}, nil
}

func TestKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &counting{}
		k := Keep(h, time.Second)
		told, failed := 0, 0
		tell := func() {
			r := <-k.Renewals()
			if told++; r.Err != nil {
				failed++
			}
		}
		start := time.Now()
		tell()
		tell()
		time.Sleep(500 * time.Millisecond)
		k.Now()
		tell()
		if d := time.Since(start); d != 2500*time.Millisecond {
			t.Errorf("two beats and one on demand took %v, want 2.5s", d)
		}
		tell()
		time.Sleep(1500 * time.Millisecond) // nobody reads: the beat goes on
		tell()
		k.Stop()
		was := h.n
		time.Sleep(5 * time.Second)
		if h.n != was || told != 5 || failed != 2 {
			t.Errorf("%d renewals after %d, %d told, %d failed; want none after Stop, 5, 2: an error must not end it", h.n, was, told, failed)
		}
	})
}
