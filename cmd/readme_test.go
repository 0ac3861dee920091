//go:build unix

package cmd

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

var update = flag.Bool("update", false, "write what --help prints into the README")

// TestReadmeHelp holds the README's usage equal to what --help prints: each
// "<!-- help WORDS -->" is followed by that help.
func TestReadmeHelp(t *testing.T) {
	path := filepath.Join("..", "README.md")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	rest, found := string(b), 0
	for {
		before, after, ok := strings.Cut(rest, "<!-- help ")
		out.WriteString(before)
		if !ok {
			break
		}
		words, after, _ := strings.Cut(after, " -->\n")
		if strings.HasPrefix(after, "```") {
			_, after, _ = strings.Cut(after, "\n```\n")
		}
		out.WriteString("<!-- help " + words + " -->\n```text\n" + help(t, words) + "```\n")
		rest, found = after, found+1
	}
	if found == 0 {
		t.Fatal("the README shows no --help")
	}
	switch {
	case out.String() == string(b):
	case *update:
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Error("README.md does not show what --help prints; go test ./cmd -run TestReadmeHelp -update")
	}
}

// TestReadmeGuard: the README's guard for a script is the one that a script of ours
// tries, 'held --help' shows it, and neither names the pool twice.
func TestReadmeGuard(t *testing.T) {
	guard := strings.Join(strings.SplitAfter(tried(t, "nested-held-guard", "guarded"), "\n")[:2], "")
	if strings.Count(guard, "nightly") != 1 || !strings.Contains(readme(t), "#!/bin/sh\n"+guard) {
		t.Errorf("the README does not show the guard that is tried:\n%s", guard)
	}
	shown := strings.ReplaceAll(help(t, "held"), "\n  ", "\n")
	if want := strings.Replace(guard, " --wait 10m", "", 1); !strings.Contains(shown, want) {
		t.Errorf("held --help does not show it:\n%s", shown)
	}
}

func TestReadmeDrain(t *testing.T) {
	if drain := tried(t, "limit-drain-recipe", "drain"); !strings.Contains(readme(t), "```sh\n"+drain+"```\n") {
		t.Errorf("the README does not show the drain that is tried:\n%s", drain)
	}
}

func readme(t *testing.T) string {
	b, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// tried is a file of a script of ours.
func tried(t *testing.T, script, file string) string {
	b, err := os.ReadFile(filepath.Join("..", "testdata", "script", script+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(b), "\n-- "+file+" --\n")
	if !ok {
		t.Fatalf("script %s has no file %s", script, file)
	}
	text, _, _ := strings.Cut(rest, "\n-- ")
	return strings.TrimSuffix(text, "\n") + "\n"
}

func help(t *testing.T, words string) string {
	result := 0
	args := append(append([]string{"berth"}, strings.Fields(words)...), "--help")
	app := newApp(&result, args)
	var out bytes.Buffer
	app.Writer = &out
	if err := app.Run(args); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestHelpFits: every line of every help fits 80 columns, and every flag of
// every command is in it.
func TestHelpFits(t *testing.T) {
	for _, words := range []string{"", "run", "held", "ls", "limit", "probe", "stop", "keepalive", "token", "version", "help"} {
		text := help(t, words)
		for line := range strings.Lines(text) {
			if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 80 {
				t.Errorf("berth %s --help: %d columns: %s", words, n, line)
			}
		}
		result := 0
		for _, c := range newApp(&result, []string{"berth", words}).Commands {
			for _, f := range c.Flags {
				if name := f.Names()[0]; f != cli.HelpFlag && !strings.Contains(text, "--"+name) {
					t.Errorf("berth %s --help does not tell of --%s", words, name)
				}
			}
		}
	}
}
