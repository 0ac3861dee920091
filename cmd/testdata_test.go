package cmd

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	named     = regexp.MustCompile("`((?:script|remote)/[a-z0-9/-]*[a-z0-9])`")
	namedTest = regexp.MustCompile("`(Test[A-Za-z0-9]+)`")
	goTest    = regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9]+)\(`)
	row       = regexp.MustCompile(`(?m)^- \*\*(.+)\*\*: (.+)$`)
)

// TestMapOfScripts holds testdata/README.md, the scripts and 'berth help failures'
// together.
func TestMapOfScripts(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "testdata", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	promises, failures, ok := strings.Cut(string(b), "\n## What happens if something goes wrong\n")
	if !ok {
		t.Fatal("it has no part for what goes wrong")
	}
	scripts, tests := scriptsAndTests(t)
	times := map[string]int{}
	for _, m := range named.FindAllStringSubmatch(promises, -1) {
		times[m[1]]++
	}
	for _, s := range scripts {
		if times[s] != 1 {
			t.Errorf("%s stands %d times under the promises, want once", s, times[s])
		}
	}
	for _, m := range named.FindAllStringSubmatch(string(b), -1) {
		if !slices.Contains(scripts, m[1]) {
			t.Errorf("there is no script %s", m[1])
		}
	}
	for _, m := range namedTest.FindAllStringSubmatch(string(b), -1) {
		if !slices.Contains(tests, m[1]) {
			t.Errorf("there is no test %s", m[1])
		}
	}
	var rows []string
	for _, m := range row.FindAllStringSubmatch(failures, -1) {
		rows = append(rows, m[1])
		named := named.FindAllString(m[2], -1)
		if slices.Sort(named); len(slices.Compact(slices.Clone(named))) < len(named) {
			t.Errorf("%q names a script twice", m[1])
		}
		if named == nil && !namedTest.MatchString(m[2]) && !strings.HasPrefix(m[2], "no script: ") {
			t.Errorf("%q has neither a script nor a test, and does not say why", m[1])
		}
	}
	if want := failureEntries(t); !slices.Equal(rows, want) {
		t.Errorf("it has lines for\n%s\n\nand 'berth help failures' has entries for\n%s", strings.Join(rows, "\n"), strings.Join(want, "\n"))
	}
}

// scriptsAndTests are the names of all scripts, and of all Go tests of this module.
func scriptsAndTests(t *testing.T) (scripts, tests []string) {
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == ".git":
			return filepath.SkipDir
		case strings.HasSuffix(path, ".txtar"):
			name, _ := filepath.Rel(filepath.Join("..", "testdata"), strings.TrimSuffix(path, ".txtar"))
			scripts = append(scripts, filepath.ToSlash(name))
		case strings.HasSuffix(path, "_test.go"):
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, m := range goTest.FindAllSubmatch(b, -1) {
				tests = append(tests, string(m[1]))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return scripts, tests
}

// failureEntries are the titles in 'berth help failures': lines at the margin that what they
// are about follows, indented.
func failureEntries(t *testing.T) (titles []string) {
	b, err := os.ReadFile(filepath.Join("manual", "topics", "failures.txt"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n")
	for i, line := range lines[:len(lines)-1] {
		if line != "" && !strings.HasPrefix(line, " ") && strings.HasPrefix(lines[i+1], "    ") {
			titles = append(titles, line)
		}
	}
	return titles
}
