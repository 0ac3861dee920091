package view

import "berth/lease"

// waitsOf finds the jobs that hold slots of one pool and wait for those of another.
func waitsOf(pools []lease.Pool) map[string]string {
	waits := map[string]string{}
	for _, p := range pools {
		for _, e := range p.Waiters {
			for _, id := range e.Ticket.Before() {
				waits[id] = e.Ticket.ID
			}
		}
	}
	return waits
}
