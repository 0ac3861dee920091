// The runtime would read the control groups of this process at each start, and go on
// looking at them; where they count, limiter/gate reads them.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command berth runs a command only when fewer than N of its kind are running.
package main

import (
	"os"

	"berth/cmd"
)

func main() { os.Exit(cmd.Main(os.Args).End()) }
