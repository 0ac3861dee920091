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
)

// Main runs berth with the arguments and returns its exit code. Only main
// exits: a defer that gives a slot back must always run.
func Main(args []string) int {
	say := newSpeaker(false, false)
	result := codeOK
	args = askHelp(args)
	app := newApp(&result, args)
	if len(app.Commands) > 0 && app.Commands[0].Name != "run" {
		args = flagsFirst(args, app.Commands[0].Flags)
		if slices.Contains(args, "--help") { // the library takes an operand for a topic
			args = []string{args[0], args[1], "--help"}
		}
	}
	err := app.Run(args)
	if err == nil {
		return result
	}
	if !errors.Is(err, errSaid) {
		say.explain(err)
	}
	return code(err)
}

// askHelp turns 'help run' into 'run --help'.
func askHelp(args []string) []string {
	if len(args) > 2 && args[1] == "help" {
		return []string{args[0], args[2], "--help"}
	}
	return args
}

// flagsFirst moves flags before the operands: 'ls POOL --json' is what people
// type, and the library would take --json for a pool. Not for run, whose operands
// are somebody else's command line.
func flagsFirst(args []string, known []cli.Flag) []string {
	takesValue := map[string]bool{}
	for _, f := range known {
		_, isSwitch := f.(*boolFlag)
		for _, n := range f.Names() {
			takesValue[n] = !isSwitch
		}
	}
	flags, operands := args[:2:2], []string{}
	for rest := args[2:]; len(rest) > 0; rest = rest[1:] {
		a := rest[0]
		switch {
		case a == "--":
			return append(append(append(flags, "--"), operands...), rest[1:]...)
		case len(a) < 2 || a[0] != '-' || '0' <= a[1] && a[1] <= '9':
			operands = append(operands, a)
		default:
			flags = append(flags, a)
			if takesValue[strings.TrimLeft(a, "-")] && len(rest) > 1 {
				rest = rest[1:]
				flags = append(flags, rest[0])
			}
		}
	}
	return append(append(flags, "--"), operands...)
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

// errSaid wraps an error that was explained already.
var errSaid = errors.New("said")

func said(err error) error { return fmt.Errorf("%w: %w", errSaid, err) }

// newApp builds the command that args name and no other: flags take time to
// build, and a start is short.
func newApp(result *int, args []string) *cli.App {
	onUsage := func(c *cli.Context, err error, _ bool) error {
		name := "berth"
		if c.Command != nil && c.Command.Name != "" && c.Command.Name != "berth" {
			name += " " + c.Command.Name
		}
		if flag, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: "); ok {
			if len(flag) > 2 {
				flag = "-" + flag // as it was typed
			}
			err = fmt.Errorf("unknown flag %s", flag)
		}
		return &usageError{err: err, cmd: name}
	}
	var commands []*cli.Command
	for _, known := range []struct {
		name  string
		build func() *cli.Command
	}{
		{"run", func() *cli.Command { return runCommand(result) }},
		{"ls", lsCommand}, {"limit", limitCommand}, {"probe", func() *cli.Command { return probeCommand(result) }}, {"stop", stopCommand}, {"keepalive", keepaliveCommand}, {"token", tokenCommand},
	} {
		if len(args) > 1 && args[1] == known.name {
			commands = append(commands, known.build())
		}
	}
	for _, c := range commands {
		c.OnUsageError = onUsage // not inherited from the app
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
			if c.NArg() > 0 && c.Args().First() != "help" {
				return usagef("berth", "%q is not a command of berth (to run it: berth run -- %s)", c.Args().First(), c.Args().First())
			}
			return cli.ShowAppHelp(c)
		},
	}
}
