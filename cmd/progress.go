package cmd

import (
	"time"

	"berth/cmd/tty"
	"berth/cmd/wait"
	"berth/lease"
)

// fitting is a line that can be made to fit into so many columns; 0: it is whole.
type fitting interface{ Fit(columns int) string }

// progress shows what a person should read during a long wait.
func (s *speaker) progress(line func(*lease.Pool, error, time.Duration) fitting) *wait.Progress {
	p := &wait.Progress{Live: tty.IsTerminal(2) && !s.plain, Show: func(text string) { s.line("", "%s", text) }, Erase: s.erase}
	if p.Live {
		p.Show = s.draw
	}
	p.Text = func(pool *lease.Pool, err error, waited time.Duration) string {
		if !p.Live {
			return line(pool, err, waited).Fit(0)
		}
		columns, _ := tty.WindowSize(2)
		return line(pool, err, waited).Fit(columns - 1)
	}
	return p
}
