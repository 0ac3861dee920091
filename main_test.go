package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// edges are the packages there are and what each may import of this module.
// lease and procwatch are leaves and meet only in cmd; siblings never meet.
var edges = map[string][]string{
	"berth":                   {"berth/cmd"},
	"berth/cmd":               {"berth/limiter", "berth/lease", "berth/lease/filestore", "berth/limiter/gate", "berth/procwatch"},
	"berth/limiter":           {"berth/lease"},
	"berth/limiter/gate":      {},
	"berth/lease":             {},
	"berth/lease/filestore":   {"berth/lease"},
	"berth/lease/memstore":    {"berth/lease"},
	"berth/lease/storetest":   {"berth/lease"},
	"berth/procwatch":         {},
	"berth/scripts/benchmark": {},
}

// only says who alone may import a package from elsewhere.
var only = map[string][]string{
	"github.com/urfave/cli/v2":              {"berth/cmd"},
	"github.com/gofrs/flock":                {"berth/lease/filestore"},
	"os/exec":                               {"berth/limiter/gate", "berth/scripts/benchmark"},
	"github.com/shirou/gopsutil":            {"berth/limiter/gate", "berth/procwatch"},
	"github.com/shirou/gopsutil/v3/process": {"berth/procwatch"},
}

func TestLayout(t *testing.T) {
	for _, goos := range []string{"linux", "darwin", "freebsd", "windows"} {
		list := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
		list.Env = append(list.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
		out, err := list.Output()
		if err != nil {
			t.Fatal(err)
		}
		for d := json.NewDecoder(strings.NewReader(string(out))); ; {
			var p struct {
				ImportPath string
				Imports    []string
			}
			if err := d.Decode(&p); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			allowed, known := edges[p.ImportPath]
			if !known {
				t.Errorf("%s is not in the list of packages: say what it may import", p.ImportPath)
			}
			for _, i := range p.Imports {
				if (i == "berth" || strings.HasPrefix(i, "berth/")) && !slices.Contains(allowed, i) {
					t.Errorf("%s imports %s", p.ImportPath, i)
				}
				for pkg, who := range only {
					if (i == pkg || strings.HasPrefix(i, pkg+"/")) && !slices.Contains(who, p.ImportPath) {
						t.Errorf("%s imports %s, only %v may", p.ImportPath, i, who)
					}
				}
			}
		}
	}
}
