package cmd

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"berth/cmd/manual"
	"berth/cmd/text"
	"berth/cmd/words"
)

const appHelp = `berth runs a command only while fewer than N of its kind are running.

Usage:
  berth run [flags] [--] COMMAND [ARG...]  run COMMAND when a slot is free
  berth ls [POOL...]                       who holds, who waits, and why
  berth limit POOL [N|P%|auto|none]        show, set, remove a pool's own limit
  berth probe                              what the gates read of this machine
  berth stop LEASE... | --pool P --label L end jobs with all their processes
  berth keepalive [LEASE]                  reset a job's idle clock
  berth held POOL                          does this run inside a job of POOL?
  berth token check FILE                   fail if a newer lease was granted
  berth version                            which berth this is
  berth help [COMMAND|TOPIC]               tell more

Topics:
`

const appExamples = `
Examples:
  berth run -n 4 -p build -- make test            at most 4 of the pool build
  berth run -n auto --min-mem 2G -- ./job         while the machine has room
`

func helpCommand() *cli.Command {
	return &cli.Command{
		Name:      "help",
		Usage:     "Print the help of a command, or a topic; without a word, list them.",
		UsageText: "berth help [COMMAND|TOPIC]",
		Action: func(c *cli.Context) error {
			return helpOn(c.App.Writer, c.Args().First())
		},
	}
}

func helpOn(w io.Writer, word string) error {
	if word == "" {
		printHelp(w, "", nil)
		return nil
	}
	var names []string
	for _, known := range knownCommands(new(int)) {
		if known.name == word {
			printHelp(w, "", known.build())
			return nil
		}
		names = append(names, known.name)
	}
	if text := manual.Topic(word); text != "" {
		_, err := io.WriteString(w, text)
		return err
	}
	return noHelp(word, names)
}

func noHelp(word string, commands []string) error {
	next := "berth help"
	if c := words.CommandMeant(word, commands); c != "" {
		next = "did you mean berth help " + c + "?"
	}
	for _, t := range manual.Topics {
		if text.Near(word, t) || word+"s" == t {
			next = "did you mean berth help " + t + "?"
		}
	}
	err := fmt.Errorf("%q is neither a command (%s) nor a topic (%s)", word, strings.Join(commands, ", "), strings.Join(manual.Topics, ", "))
	return words.Mistake(words.Hinted(err, next), "berth help")
}

// printHelp replaces the library's templates: ours fit 80 columns.
func printHelp(w io.Writer, _ string, data any) {
	c, ok := data.(*cli.Command)
	if !ok {
		fmt.Fprint(w, appHelp)
		for _, t := range manual.Topics {
			fmt.Fprintf(w, "  %-11s %s\n", t, manual.Summary(t))
		}
		fmt.Fprint(w, appExamples)
		return
	}
	fmt.Fprintf(w, "%s\n\nUsage:\n", c.Usage)
	for line := range strings.Lines(c.UsageText) {
		fmt.Fprintf(w, "  %s", line)
	}
	fmt.Fprintln(w)
	if c.Description != "" {
		fmt.Fprintf(w, "\n%s\n", c.Description)
	}
	title := ""
	for _, f := range c.Flags {
		if f == cli.HelpFlag { // the library's own, last and without a category
			continue
		}
		t := "Flags"
		if cf, ok := f.(cli.CategorizableFlag); ok && cf.GetCategory() != "" {
			t = cf.GetCategory()
		}
		if t != title {
			fmt.Fprintf(w, "\n%s:\n", t)
			title = t
		}
		printFlag(w, f)
	}
}

const helpIndent = 24

func printFlag(w io.Writer, f cli.Flag) {
	d, ok := f.(cli.DocGenerationFlag)
	if !ok {
		return
	}
	value, usage := words.ValueOf(d)
	names := words.Dashed(f)
	head := strings.Join(names, ", ")
	if len(names[0]) > 2 {
		head = "    " + head
	}
	head = "  " + strings.TrimRight(head+" "+value, " ")
	if len(head) > helpIndent-2 {
		fmt.Fprintln(w, head)
		head = ""
	}
	for _, line := range wrap(usage, 80-helpIndent) {
		fmt.Fprintf(w, "%-*s%s\n", helpIndent, head, line)
		head = ""
	}
}

func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimLeft(line+" "+word, " ")
	}
	return append(lines, line)
}
