package engine

import (
	"math/rand/v2"
	"strconv"
)

// Ports that kernels do not hand out by themselves (Linux does from 32768, others
// from 49152). One that bind(2) chooses is of the kind that connections get as their
// own: while a server is down, a client that tries again and again would some day
// be given the very port it dials, reach itself, and keep the server from coming
// back.
const (
	lowestPort  = 15000
	highestPort = 30000
)

func candidate() string {
	return strconv.Itoa(lowestPort + rand.IntN(highestPort-lowestPort))
}
