package cmd

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
)

func printVersion(asJSON bool) error {
	info, _ := debug.ReadBuildInfo()
	v := versionOf(info)
	if asJSON {
		return json.NewEncoder(os.Stdout).Encode(v)
	}
	_, err := fmt.Fprintln(os.Stdout, v)
	return err
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
