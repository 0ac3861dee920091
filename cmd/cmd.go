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
	words, err := normal(args[2:], c.Flags, c.Name != "run")
	if err != nil {
		return nil, &usageError{err, "berth " + c.Name}
	}
	typed.note(args[2:], words)
	return append(args[:2:2], words...), nil
}

// usageError is a mistake in the words that were typed.
type usageError struct {
	err error
	cmd string
}

func (e *usageError) Error() string { return e.err.Error() }

func usagef(cmd, format string, args ...any) error {
	return &usageError{err: fmt.Errorf(format, args...), cmd: cmd}
}

// hintedError says what to do next, where there is more to say than --help.
type hintedError struct {
	error
	next string
}

func (e *hintedError) Unwrap() error { return e.error }

func noCommand(word string, known []string) error {
	err := fmt.Errorf("%q is not a command of berth (to run it: berth run -- %s)", word, text.Quoted([]string{word})[0])
	if m := commandMeant(word, known); m != "" {
		err = &hintedError{err, fmt.Sprintf("did you mean berth %s?", m)}
	}
	return &usageError{err, "berth"}
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
		{"version", versionCommand}, {"help", helpCommand},
	}
}

// misplaced is about a flag before the command that it belongs to: the one that is
// typed behind it, else the first that has such a flag.
func misplaced(words []string, result *int) error {
	var command *cli.Command
	rest := slices.Clone(words)
	for _, k := range knownCommands(result) {
		c := k.build()
		if i := slices.Index(words, k.name); i > 0 && !slices.Contains(words[:i], "--") {
			command, rest = c, slices.Delete(rest, i, i+1)
			break
		}
		if a := (argv{known: c.Flags, given: map[string]given{}}); command == nil {
			if a.flag(words[0], words[1:]); a.err == nil {
				command = c
			}
		}
	}
	if command == nil {
		a := argv{known: runFlags(), given: map[string]given{}}
		a.flag(words[0], words[1:])
		return a.err
	}
	normal, err := normal(rest, command.Flags, command.Name != "run")
	if err != nil {
		return err
	}
	operands := 0
	if i := slices.Index(normal, "--"); i >= 0 && command.Name == "run" {
		operands = len(normal) - i - 1
	}
	typed.note(rest, normal)
	next := "berth " + command.Name + " " + typed.before(operands)
	if operands > 0 {
		next += "-- " + strings.Join(text.Quoted(rest[len(rest)-operands:]), " ")
	}
	name, _, _ := strings.Cut(words[0], "=")
	return &hintedError{fmt.Errorf("%s stands before the name of the command it belongs to", name), strings.TrimSpace(next)}
}

// newApp builds the command that args name and no other: flags take time to
// build, and a start is short.
func newApp(result *int, args []string) *cli.App {
	// Of a command nothing wrong is left; this is a flag before its name.
	onUsage := func(*cli.Context, error, bool) error { return &usageError{misplaced(args[1:], result), "berth"} }
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
