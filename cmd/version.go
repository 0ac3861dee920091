package cmd

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/urfave/cli/v2"

	"berth/cmd/words"
)

func versionCommand() *cli.Command {
	return &cli.Command{
		Name:      "version",
		Usage:     "Say which berth this is: version or revision, Go, system.",
		UsageText: "berth --version",
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return words.Usagef("berth version", "takes no argument, got %d", c.NArg())
			}
			info, _ := debug.ReadBuildInfo()
			_, err := fmt.Fprintln(os.Stdout, versionLine(info))
			return err
		},
	}
}

// versionLine is made of what the Go tool wrote into the program; nil: it did not.
func versionLine(info *debug.BuildInfo) string {
	version, revision, changed := "", "", ""
	if info != nil {
		version = info.Main.Version
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				revision = s.Value[:min(12, len(s.Value))]
			case s.Key == "vcs.modified" && s.Value == "true":
				changed = "+dirty"
			}
		}
	}
	if version == "" || version == "(devel)" {
		version = "of unknown version"
		if revision != "" {
			version = revision + changed
		}
	}
	return fmt.Sprintf("berth %s %s %s/%s", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
