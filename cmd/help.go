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
  berth completion bash|zsh|fish           print the shell's completion
  berth man                                print the man page
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
	if c, ok := data.(*cli.Command); ok {
		fmt.Fprint(w, described(c).Help())
		return
	}
	fmt.Fprint(w, appHelp)
	for _, t := range manual.Topics {
		fmt.Fprintf(w, "  %-11s %s\n", t, manual.Summary(t))
	}
	fmt.Fprint(w, appExamples)
}

var operands = map[string]manual.Operands{
	"run": manual.Program, "ls": manual.Pools, "limit": manual.Limit, "stop": manual.Leases, "held": manual.Pool,
	"keepalive": manual.Leases, "token": manual.Check, "completion": manual.Shell, "help": manual.Page,
}

// described is a command in the manual's terms.
func described(c *cli.Command) manual.Command {
	d := manual.Command{Name: c.Name, Usage: c.Usage, Synopsis: c.UsageText, Description: c.Description, Operands: operands[c.Name]}
	for _, f := range c.Flags {
		doc, ok := f.(cli.DocGenerationFlag)
		if !ok || f == cli.HelpFlag {
			continue
		}
		value, usage := words.ValueOf(doc)
		group := "Flags"
		if g, ok := f.(cli.CategorizableFlag); ok && g.GetCategory() != "" {
			group = g.GetCategory()
		}
		d.Flags = append(d.Flags, manual.Flag{Group: group, Names: words.Dashed(f), Value: value, Usage: usage, Repeat: words.IsList(f)})
	}
	return d
}

func describedAll() []manual.Command {
	var all []manual.Command
	for _, known := range knownCommands(new(int)) {
		all = append(all, described(known.build()))
	}
	return all
}

func manCommand() *cli.Command {
	return &cli.Command{
		Name:      "man",
		Usage:     "Print the man page, with all topics of berth help.",
		UsageText: "berth man",
		Description: `It is made of the same texts as berth help. To keep it where man finds it:
  berth man >/usr/local/share/man/man1/berth.1`,
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return words.Usagef("berth man", "takes no argument, got %d", c.NArg())
			}
			_, err := io.WriteString(c.App.Writer, manual.Man(describedAll()))
			return err
		},
	}
}
