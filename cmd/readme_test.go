//go:build unix

package cmd

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/urfave/cli/v2"

	"berth/cmd/manual"
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

// TestGuard: the guard of a script that must not run twice is the one that a script of
// ours tries, held --help shows it, and none of them names the pool twice.
func TestGuard(t *testing.T) {
	guard := strings.Join(strings.SplitAfter(tried(t, "nested-held-guard", "guarded"), "\n")[:3], "")
	if strings.Count(guard, "nightly") != 1 || !strings.HasPrefix(recipes()["A SCRIPT THAT MUST NOT RUN TWICE"][0], "#!/bin/sh\n"+guard) {
		t.Errorf("the recipe is not the guard that is tried:\n%s", guard)
	}
	shown := strings.ReplaceAll(help(t, "held"), "\n  ", "\n")
	if want := strings.NewReplacer(" --wait 10m", "", "||\n  ", "|| ").Replace(guard); !strings.Contains(shown, want) {
		t.Errorf("held --help does not show it:\n%s", shown)
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

// cmdRecipe writes a block of commands of the topic recipes to a file: the first below
// the heading, or the Nth.
func cmdRecipe(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: recipe FILE HEADING [N]")
	}
	n := 1
	if len(args) == 3 {
		i, err := strconv.Atoi(args[2])
		ts.Check(err)
		n = i
	}
	blocks := recipes()[args[1]]
	if n < 1 || n > len(blocks) {
		ts.Fatalf("below %q there are %d blocks of commands", args[1], len(blocks))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(blocks[n-1]), 0o600))
}

// recipes are the blocks of commands below each heading of that topic.
func recipes() map[string][]string {
	blocks, heading := map[string][]string{}, ""
	for paragraph := range strings.SplitSeq(manual.Topic("recipes"), "\n\n") {
		paragraph = strings.Trim(paragraph, "\n") + "\n"
		switch {
		case strings.HasPrefix(paragraph, "    "):
			code := strings.ReplaceAll("\n"+paragraph, "\n    ", "\n")[1:]
			blocks[heading] = append(blocks[heading], code)
		case paragraph == strings.ToUpper(paragraph):
			heading = strings.TrimSpace(paragraph)
		}
	}
	return blocks
}

// runByHand are the blocks that no script runs: they take a toolchain of their own.
var runByHand = map[string]bool{
	"MAKE, CMAKE, NINJA, GO BUILD 3":                     true, // go build -a compiles the standard library
	"CARGO, CCACHE AND OTHERS THAT WANT A SINGLE WORD 2": true, // cargo
}

// TestRecipesRun: each block of commands is run by a script, as it stands there.
func TestRecipesRun(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "testdata", "script", "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	run := map[string]bool{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^recipe \S+ (?:'([^']+)'|(\S+))(?: (\d+))?$`).FindAllStringSubmatch(string(b), -1) {
			run[m[1]+m[2]+" "+cmp.Or(m[3], "1")] = true
		}
	}
	for heading, blocks := range recipes() {
		for i := range blocks {
			if key := fmt.Sprintf("%s %d", heading, i+1); run[key] == runByHand[key] {
				t.Errorf("%s: run by a script: %t; by hand: %t", key, run[key], runByHand[key])
			}
		}
	}
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
