package procwatch

import (
	"fmt"
	"strconv"
	"strings"
)

// Left names those of the child's tree that are alive, like "sleep (pid 12)", parents
// before their children; none where the process table cannot be read. End may run at the
// same time.
func (c *Child) Left() []string {
	live, err := c.tree().living()
	if err != nil {
		return nil
	}
	var names []string
	for _, p := range live {
		// If the pid was reused since the scan, this is the name of another process; it only
		// tells a person where to search.
		name, _ := readFile("/proc/" + strconv.Itoa(p.pid) + "/comm")
		names = append(names, strings.TrimLeft(fmt.Sprintf("%s (pid %d)", strings.TrimSuffix(string(name), "\n"), p.pid), " "))
	}
	return names
}
