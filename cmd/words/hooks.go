package words

import (
	"fmt"
	"slices"
	"strings"

	"berth/cmd/text"
)

// hookEvents are what --on takes.
var hookEvents = []string{"start", "stop", "timeout", "keepalive", "lost"}

func hookFlags() []Flag {
	return []Flag{
		{Group: ofRunning, Name: "on", Value: "EVENT=CMD", Kind: List, Usage: "run the shell command CMD at an event of the job: start, stop, timeout, keepalive or lost; repeatable, see berth help hooks"},
		{Group: ofRunning, Name: "hook-timeout", Value: "D", Default: "10s", Kind: Number, Usage: "end a CMD of --on after this time (default: 10s)"},
	}
}

// hooks are the commands of --on, by event; nil: none.
func (p *parser) hooks() map[string][]string {
	var all map[string][]string
	for _, s := range p.list("on") {
		event, command, is := strings.Cut(s, "=")
		switch {
		case !is:
			p.check("on", fmt.Errorf("%q has no command: write EVENT=CMD, like stop='echo done'", s))
		case !slices.Contains(hookEvents, event):
			p.check("on", fmt.Errorf("there is no event %q, only %s", event, text.Or(hookEvents)))
		case strings.TrimSpace(command) == "":
			p.check("on", fmt.Errorf("the command of %s= is empty", event))
		}
		if all == nil {
			all = map[string][]string{}
		}
		all[event] = append(all[event], command)
	}
	return all
}
