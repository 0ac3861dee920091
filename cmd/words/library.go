package words

import (
	"io"
	"time"

	"github.com/urfave/cli/v2"
)

// run has the library parse a line, and the command make its request of that. The line is
// in its one form, --name=value for each flag and the operands after --, in which the
// library finds nothing to object to: what is wrong was found by read, which knows what
// was meant.
func (c Command) run(l *parsedLine) (request any, err error) {
	app := &cli.App{
		Name:                      "berth",
		HideHelp:                  true,
		HideVersion:               true,
		DisableSliceFlagSeparator: true,
		Compiled:                  time.Unix(1, 0), // else the library looks it up
		Writer:                    io.Discard,
		ErrWriter:                 io.Discard,
		ExitErrHandler:            func(*cli.Context, error) {},
		Commands: []*cli.Command{{
			Name:     c.Name,
			HideHelp: true,
			Flags:    libraryFlags(c.Flags),
			Action: func(x *cli.Context) error {
				p := &parser{cli: x}
				request = c.parse(p)
				return p.err
			},
		}},
	}
	args := append([]string{"berth", c.Name}, l.flags...)
	err = app.Run(append(append(args, "--"), l.operands...))
	return request, err
}

func libraryFlags(flags []Flag) (all []cli.Flag) {
	for i := range flags {
		f := &flags[i]
		switch f.Kind {
		case Switch:
			all = append(all, &boolFlag{cli.BoolFlag{Name: f.Name}, f.Name})
		case List:
			all = append(all, &listFlag{cli.StringSliceFlag{Name: f.Name, KeepSpace: true}, f.Name})
		default:
			all = append(all, &stringFlag{cli.StringFlag{Name: f.Name, Value: f.Default}, f.Name})
		}
	}
	return all
}

// The library's flags split their names by a regular expression each time they are asked
// for them, for every pair of flags: 0.3 ms of a start of 3. These know their names.

type stringFlag struct {
	cli.StringFlag
	name string
}

type boolFlag struct {
	cli.BoolFlag
	name string
}

type listFlag struct {
	cli.StringSliceFlag
	name string
}

func (f *stringFlag) Names() []string { return []string{f.name} }
func (f *boolFlag) Names() []string   { return []string{f.name} }
func (f *listFlag) Names() []string   { return []string{f.name} }
