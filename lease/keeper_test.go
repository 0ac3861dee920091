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
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second+time.Millisecond)
		defer cancel()
		now := make(chan struct{}, 1)
		h, told, failed := &counting{}, 0, 0
		go func() {
			time.Sleep(2500 * time.Millisecond)
			now <- struct{}{}
		}()
		Keep(ctx, h, time.Second, now, func(_ Signs, err error) {
			told++
			if err != nil {
				failed++
			}
		})
		if h.n != 6 || told != 6 || failed != 3 {
			t.Errorf("%d renewals, %d told, %d failed; want 6 (5 beats and one on demand), 6, 3: an error must not end it", h.n, told, failed)
		}
	})
}
