// Package manual holds what berth tells about itself beyond the help of its
// commands: the topics of berth help, its man page, and the shell completion.
package manual

import (
	"embed"
	"strings"
)

// A topic reads the same on a terminal and as a file, so its layout is plain:
// the first line is "berth help NAME: SUMMARY", a heading is in capitals, an
// entry is a line with its explanation indented below, and what is indented
// after an empty line is shown as it is. No line is longer than 80 columns.
//
//go:embed topics/*.txt
var files embed.FS

// Topics are the names of the topics, in the order in which they are listed.
var Topics = []string{"recipes", "holding", "several", "gates", "hooks", "sharing", "stores", "failures", "scripting", "json", "speed", "internals"}

// Topic returns a topic's text, "" for none.
func Topic(name string) string {
	text, _ := files.ReadFile("topics/" + name + ".txt")
	return string(text)
}

// Summary is a topic in a few words.
func Summary(name string) string {
	first, _, _ := strings.Cut(Topic(name), "\n")
	_, summary, _ := strings.Cut(first, ": ")
	return summary
}
