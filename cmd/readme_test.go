//go:build unix

package cmd

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"berth/cmd/manual"
	"berth/cmd/text"
	"berth/cmd/words"
)

// TestReadmeFits: it decides in one screen or two; the rest is in the topics.
func TestReadmeFits(t *testing.T) {
	if n := len(readme(t)); n > 12288 {
		t.Errorf("README.md has %d bytes, more than 12 kB", n)
	}
}

// TestReadmeCommands: its table has each command, and no other.
func TestReadmeCommands(t *testing.T) {
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `berth ([a-z]+)").FindAllStringSubmatch(readme(t), -1) {
		listed[m[1]] = true
	}
	usage := help(t, "")
	for _, c := range describedAll() {
		if !listed[c.Name] || !strings.Contains(usage, "\n  berth "+c.Name+" ") {
			t.Errorf("berth %s: in the README: %t; listed by berth help: %t", c.Name, listed[c.Name], !listed[c.Name])
		}
		delete(listed, c.Name)
	}
	for name := range listed {
		t.Errorf("the README has berth %s, which is no command", name)
	}
}

// TestReadmeBlocks: what it shows to be typed stands in a topic as well, where scripts
// run it; but for the two commands that need nothing.
func TestReadmeBlocks(t *testing.T) {
	_, recipes, _ := strings.Cut(readme(t), "\n## Recipes\n")
	blocks := regexp.MustCompile("(?s)\n```[a-z]+\n(.*?)```\n").FindAllStringSubmatch(recipes, -1)
	if len(blocks) < 10 {
		t.Fatalf("%d blocks in the README's recipes", len(blocks))
	}
	for _, m := range blocks {
		indented := strings.TrimRight(strings.ReplaceAll("\n"+m[1], "\n", "\n    "), " ")
		if !strings.Contains(texts(t), indented) {
			t.Errorf("no topic has this block of the README:\n%s", m[1])
		}
	}
}

// texts are the README, the topics and what each command prints as its help.
func texts(t *testing.T) string {
	all := readme(t) + help(t, "")
	for _, name := range manual.Topics {
		all += "\n" + manual.Topic(name)
	}
	for _, c := range describedAll() {
		all += "\n" + c.Help()
	}
	return all
}

// TestHelpIsThere: each 'berth help WORD' that a text names prints something, and the
// README names each topic.
func TestHelpIsThere(t *testing.T) {
	for _, m := range regexp.MustCompile(`berth\s+help\s+([a-z]+)`).FindAllStringSubmatch(texts(t), -1) {
		if err := helpOn(io.Discard, m[1]); err != nil {
			t.Errorf("berth help %s is named somewhere: %v", m[1], err)
		}
	}
	for _, name := range manual.Topics {
		if !strings.Contains(readme(t), "| `berth help "+name+"` | "+manual.Summary(name)+" |") {
			t.Errorf("the README does not list the topic %s: %s", name, manual.Summary(name))
		}
	}
}

// TestFlagsInTexts: each flag that a text names is one, and one of the command that it
// stands behind.
func TestFlagsInTexts(t *testing.T) {
	others := "--help --version " + // of berth itself
		"--auto-compaction-mode --auto-compaction-retention --prefix --joblog --resume-failed --load --memfree " // of others
	all, of := map[string]bool{}, map[string]map[string]bool{}
	for _, f := range strings.Fields(others) {
		all[f] = true
	}
	for _, c := range describedAll() {
		of[c.Name] = map[string]bool{"--help": true}
		for _, f := range c.Flags {
			for _, n := range f.Names {
				all[n], of[c.Name][n] = true, true
			}
		}
	}
	flag := regexp.MustCompile(`(?:^|[\s([|` + "`" + `])(--[a-z][a-z-]*)`)
	for _, m := range flag.FindAllStringSubmatch(texts(t), -1) {
		if !all[m[1]] {
			t.Errorf("%s stands in a text and is no flag", m[1])
		}
	}
	typed := strings.ReplaceAll(texts(t), "\\\n", " ")
	for _, m := range regexp.MustCompile(`berth ([a-z]+)((?: [^\s|;&`+"`"+`]+)*)`).FindAllStringSubmatch(typed, -1) {
		known := of[m[1]]
		before, _, _ := strings.Cut(m[2]+" ", " -- ")
		for _, f := range flag.FindAllStringSubmatch(before, -1) {
			if known != nil && !known[f[1]] {
				t.Errorf("berth %s has no flag %s: %s", m[1], f[1], m[0])
			}
		}
	}
}

// TestTopicsFit: no topic has a line of more than 80 columns, and each begins with its
// name.
func TestTopicsFit(t *testing.T) {
	for _, name := range manual.Topics {
		text := manual.Topic(name)
		if !strings.HasPrefix(text, "berth help "+name+": ") {
			t.Errorf("%s: its first line is not its title", name)
		}
		fits(t, name, text)
	}
}

func fits(t *testing.T, name, text string) {
	for line := range strings.Lines(text) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 80 {
			t.Errorf("%s: %d columns: %s", name, n, line)
		}
	}
}

// TestMan: mandoc has nothing to say of the man page, and it has every command, flag
// and topic.
func TestMan(t *testing.T) {
	page := manual.Man(describedAll())
	for _, c := range describedAll() {
		if !strings.Contains(page, "\n.SS berth "+c.Name+"\n") {
			t.Errorf("no berth %s", c.Name)
		}
		for _, f := range c.Flags {
			if !strings.Contains(page, "\n.B "+strings.ReplaceAll(strings.Join(f.Names, ", "), "-", `\-`)) {
				t.Errorf("no %v of berth %s", f.Names, c.Name)
			}
		}
	}
	for _, name := range manual.Topics {
		if !strings.Contains(page, "\n.SH "+strings.ToUpper(name)+"\n") {
			t.Errorf("no topic %s", name)
		}
	}
	lint := exec.Command("mandoc", "-Tlint")
	if lint.Err != nil {
		t.Skip("no mandoc here")
	}
	lint.Stdin = strings.NewReader(page)
	if out, err := lint.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("mandoc -Tlint: %v: %.2000s", err, out)
	}
}

// TestFixedWords: the words that the completion offers for a flag are those that berth
// takes, which it lists when it gets another one.
func TestFixedWords(t *testing.T) {
	for flag, offered := range manual.Fixed {
		for _, word := range append(offered, "no-such-word") {
			out, err := exec.Command("berth", "run", flag, word, "--store", t.TempDir(), "--wait", "0", "--", "true").CombinedOutput()
			known := !strings.Contains(string(out), strconv.Quote(word))
			if known != (word != "no-such-word") {
				t.Errorf("%s %s: %v: %s", flag, word, err, out)
			}
			if _, list, ok := strings.Cut(string(out), " must be "); ok {
				list, _, _ = strings.Cut(list, ", not ")
				if want := text.Or(offered); list != want {
					t.Errorf("%s takes %s; %s are offered", flag, list, want)
				}
			}
		}
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

func help(t *testing.T, command string) string {
	request, err := words.Parse(append(strings.Fields(command), "--help"))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := helpOn(&out, request.(words.Help).Word); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestHelpFits: every line of every help fits 80 columns, and every flag of
// every command is in it.
func TestHelpFits(t *testing.T) {
	fits(t, "berth help", help(t, ""))
	for _, c := range describedAll() {
		text := help(t, c.Name)
		fits(t, c.Name, text)
		if text != c.Help() {
			t.Errorf("berth %s --help is not berth help %s", c.Name, c.Name)
		}
		for _, f := range c.Flags {
			if !strings.Contains(text, strings.Join(f.Names, ", ")) {
				t.Errorf("berth %s --help does not tell of %v", c.Name, f.Names)
			}
		}
	}
}
