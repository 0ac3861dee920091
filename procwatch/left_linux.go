package procwatch

import (
	"fmt"
	"strconv"
	"strings"
)

// Left names those of the child's tree that are alive, like "sleep (pid 12)", parents
// before their children; none where the process table cannot be read. It changes
// nothing, so End may go on beside it.
func (c *Child) Left() []string {
	live, err := c.tree().look()
	if err != nil {
		return nil
	}
	var names []string
	for _, p := range live {
		// Read after the look: of a pid that was reused in between it is another's name,
		// in words that only tell a person where to look.
		name, _ := readFile("/proc/" + strconv.Itoa(p.pid) + "/comm")
		names = append(names, strings.TrimLeft(fmt.Sprintf("%s (pid %d)", strings.TrimSuffix(string(name), "\n"), p.pid), " "))
	}
	return names
}
