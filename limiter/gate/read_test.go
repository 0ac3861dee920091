package gate

import (
	"errors"
	"testing"
)

// A doubt and a failure are waited for once, not at every question.
func TestAgain(t *testing.T) {
	a, calls := &Asker{}, 0
	failing := func(times int, text string) func() error {
		calls = 0
		return func() error {
			if calls++; calls <= times {
				return errors.New(text)
			}
			return nil
		}
	}
	for _, c := range []struct {
		why   string
		read  func() error
		calls int
		fails bool
	}{
		{"comes back", failing(retries, "gone"), 1 + retries, false},
		{"stays away", failing(99, "gone"), 1 + retries, true},
		{"is still away", failing(99, "gone"), 1, true},
		{"fails in another way", failing(99, "empty"), 1 + retries, true},
		{"is there", failing(0, ""), 1, false},
		{"is gone again", failing(1, "gone"), 2, false},
	} {
		calls = 0
		if err := a.again("it", c.read); (err != nil) != c.fails || calls != c.calls {
			t.Errorf("%s: %v after %d calls, want %d", c.why, err, calls, c.calls)
		}
	}
}
