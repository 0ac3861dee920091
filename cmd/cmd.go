// Package cmd is the command line: it turns words into a request, and the
// outcome into messages and an exit code. It is the only importer of
// urfave/cli, and the place where leases and processes meet.
package cmd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"berth/cmd/text"
	"berth/cmd/words"
)

// Main runs berth with the arguments and returns how it is to end. Only main
// exits: a defer that gives a slot back must always run.
func Main(args []string) Outcome {
	defer stderr.flush(lastWords)
	say := newSpeaker(false, false)
	result := codeOK
	args = askHelp(args)
	app := newApp(&result, args)
	args, err := inOneForm(args, app.Commands)
	if err == nil {
		err = app.Run(args)
	}
	if err == nil {
		return Outcome{Code: result}
	}
	if !errors.Is(err, errSaid) {
		say.explain(err)
	}
	return outcomeOf(err)
}

// askHelp turns '--help run' into 'help run', and '--version' into 'version'.
func askHelp(args []string) []string {
	if len(args) > 1 && args[1] == "--version" {
		return append([]string{args[0], "version"}, args[2:]...)
	}
	if len(args) > 2 && (args[1] == "--help" || args[1] == "-h") {
		return []string{args[0], "help", args[2]}
	}
	return args
}

// inOneForm are the arguments as the library reads them without a doubt.
func inOneForm(args []string, commands []*cli.Command) ([]string, error) {
	if len(commands) == 0 {
		return args, nil
	}
	c := commands[0]
	line, err := words.Normal(args[2:], c.Flags, c.Name != "run")
	if err != nil {
		return nil, words.Mistake(err, "berth "+c.Name)
	}
	words.Typed.Note(args[2:], line)
	return append(args[:2:2], line...), nil
}

func noCommand(word string, known []string) error {
	err := fmt.Errorf("%q is not a command of berth (to run it: berth run -- %s)", word, text.Quoted([]string{word})[0])
	if m := words.CommandMeant(word, known); m != "" {
		err = words.Hinted(err, fmt.Sprintf("did you mean berth %s?", m))
	}
	return words.Mistake(err, "berth")
}

// errSaid wraps an error that was explained already.
var errSaid = errors.New("said")

func said(err error) error { return fmt.Errorf("%w: %w", errSaid, err) }

type knownCommand struct {
	name  string
	build func() *cli.Command
}

func knownCommands(result *int) []knownCommand {
	return []knownCommand{
		{"run", func() *cli.Command { return runCommand(result) }},
		{"ls", lsCommand}, {"limit", limitCommand}, {"probe", func() *cli.Command { return probeCommand(result) }}, {"stop", stopCommand},
		{"held", func() *cli.Command { return heldCommand(result) }}, {"keepalive", keepaliveCommand}, {"token", tokenCommand},
		{"completion", completionCommand}, {"man", manCommand}, {"version", versionCommand}, {"help", helpCommand},
	}
}

// misplaced is about a flag before the command that it belongs to: the one that is
// typed behind it, else the first that has such a flag.
func misplaced(line []string, result *int) error {
	var command *cli.Command
	rest := slices.Clone(line)
	for _, k := range knownCommands(result) {
		c := k.build()
		if i := slices.Index(line, k.name); i > 0 && !slices.Contains(line[:i], "--") {
			command, rest = c, slices.Delete(rest, i, i+1)
			break
		}
		if a := (words.Argv{Known: c.Flags, Given: map[string]words.Given{}}); command == nil {
			if a.Flag(line[0], line[1:]); a.Err == nil {
				command = c
			}
		}
	}
	if command == nil {
		a := words.Argv{Known: words.RunFlags(), Given: map[string]words.Given{}}
		a.Flag(line[0], line[1:])
		return a.Err
	}
	normal, err := words.Normal(rest, command.Flags, command.Name != "run")
	if err != nil {
		return err
	}
	operands := 0
	if i := slices.Index(normal, "--"); i >= 0 && command.Name == "run" {
		operands = len(normal) - i - 1
	}
	words.Typed.Note(rest, normal)
	next := "berth " + command.Name + " " + words.Typed.Before(operands)
	if operands > 0 {
		next += "-- " + strings.Join(text.Quoted(rest[len(rest)-operands:]), " ")
	}
	name, _, _ := strings.Cut(line[0], "=")
	return words.Hinted(fmt.Errorf("%s stands before the name of the command it belongs to", name), strings.TrimSpace(next))
}

// newApp builds the command that args name and no other: flags take time to
// build, and a start is short.
func newApp(result *int, args []string) *cli.App {
	// Of a command nothing wrong is left; this is a flag before its name.
	onUsage := func(*cli.Context, error, bool) error { return words.Mistake(misplaced(args[1:], result), "berth") }
	var commands []*cli.Command
	var names []string
	for _, known := range knownCommands(result) {
		names = append(names, known.name)
		if len(args) > 1 && args[1] == known.name {
			commands = append(commands, known.build())
		}
	}
	for _, c := range commands {
		c.HideHelpCommand = true
	}
	cli.HelpPrinter = printHelp
	return &cli.App{
		Name:                      "berth",
		HelpName:                  "berth",
		Usage:                     "run a command only when fewer than N of its kind are running",
		HideVersion:               true,
		HideHelpCommand:           true,
		Commands:                  commands,
		OnUsageError:              onUsage,
		DisableSliceFlagSeparator: true,
		Compiled:                  time.Unix(1, 0), // else the library looks it up
		Writer:                    os.Stdout,
		ErrWriter:                 io.Discard, // we say what is wrong ourselves
		ExitErrHandler:            func(*cli.Context, error) {},
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return noCommand(c.Args().First(), names)
			}
			return cli.ShowAppHelp(c)
		},
	}
}
