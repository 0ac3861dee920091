package words

import "github.com/urfave/cli/v2"

// The library's flags split their names by a regular expression each time they
// are asked for them, for every pair of flags: 0.3 ms of a start of 3. These
// know their names.

type stringFlag struct {
	cli.StringFlag
	names  []string
	number bool
}

func (f *stringFlag) Names() []string { return f.names }

type boolFlag struct {
	cli.BoolFlag
	names []string
}

func (f *boolFlag) Names() []string { return f.names }

type listFlag struct {
	cli.StringSliceFlag
	names []string
}

func (f *listFlag) Names() []string { return f.names }

func NewString(f cli.StringFlag) cli.Flag {
	return &stringFlag{f, append([]string{f.Name}, f.Aliases...), false}
}

// NewNumber is a flag whose value is a number, a duration, a size: -5 is then a
// value that is wrong or right, and not the next flag.
func NewNumber(f cli.StringFlag) cli.Flag {
	return &stringFlag{f, append([]string{f.Name}, f.Aliases...), true}
}

func NewBool(f cli.BoolFlag) cli.Flag {
	return &boolFlag{f, append([]string{f.Name}, f.Aliases...)}
}

// NewList is the only flag that may be given more than once, and its help says so.
func NewList(f cli.StringSliceFlag) cli.Flag {
	return &listFlag{f, append([]string{f.Name}, f.Aliases...)}
}
