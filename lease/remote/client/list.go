package client

import (
	"cmp"
	"slices"
	"strings"

	"berth/lease"
)

// Assemble completes a pool whose holders and waiters have been read: it puts them in the
// order of their slots and of the line, and sums up.
func Assemble(p *lease.Pool) {
	slices.SortFunc(p.Holders, func(a, b lease.Entry) int { return slices.Compare(a.Lease.Slots, b.Lease.Slots) })
	slices.SortFunc(p.Waiters, func(a, b lease.Entry) int {
		return cmp.Or(a.Ticket.Priority-b.Ticket.Priority, cmp.Compare(a.Ticket.Seq, b.Ticket.Seq), strings.Compare(a.Ticket.ID, b.Ticket.ID))
	})
	p.Sum()
}
