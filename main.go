// Command berth runs a command only when fewer than N of its kind are running.
package main

import (
	"os"

	"berth/cmd"
)

func main() { cmd.Main(os.Args).Exit() }
