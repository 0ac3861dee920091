package cmd

import (
	"cmp"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/urfave/cli/v2"

	"berth/cmd/words"
)

func versionCommand() *cli.Command {
	return &cli.Command{
		Name:      "version",
		Usage:     "Print which berth this is: version or revision, Go, platform.",
		UsageText: "berth version [--json]",
		Flags:     []cli.Flag{words.NewBool(cli.BoolFlag{Name: "json", Usage: "print JSON; see berth help json"})},
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return words.Usagef("berth version", "takes no argument, got %d", c.NArg())
			}
			info, _ := debug.ReadBuildInfo()
			v := versionOf(info)
			if c.Bool("json") {
				return json.NewEncoder(c.App.Writer).Encode(v)
			}
			_, err := fmt.Fprintln(c.App.Writer, v)
			return err
		},
	}
}

// version is this program, as far as the Go tool has recorded it.
type version struct {
	Version  string `json:"version"`  // of the module
	Revision string `json:"revision"` // the commit
	Modified bool   `json:"modified"` // files differed from the commit
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

// versionOf reads what the Go tool wrote into the program; nil: it wrote nothing.
func versionOf(info *debug.BuildInfo) version {
	v := version{Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	if info == nil {
		return v
	}
	v.Version = strings.TrimPrefix(info.Main.Version, "(devel)")
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

func (v version) String() string {
	revision := v.Revision[:min(12, len(v.Revision))]
	if revision != "" && v.Modified {
		revision += "+dirty"
	}
	return fmt.Sprintf("berth %s %s %s/%s", cmp.Or(v.Version, revision, "of unknown version"), v.Go, v.OS, v.Arch)
}
