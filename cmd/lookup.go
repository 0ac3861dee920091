package cmd

import (
	"errors"
	"os"
	"slices"
	"strings"

	"berth/cmd/text"
	"berth/cmd/words"
	"berth/procwatch"
)

// find tells of a command that cannot be run before anybody waits for its slot. One
// that comes while we wait would be too late; one that goes is missed at the start.
func (r *runner) find() error { return procwatch.Find(r.spec.Argv, os.Environ()) }

// advised adds to an error of the look-up what a shell would have made of the words.
func (r *runner) advised(err error) error {
	if !errors.Is(err, procwatch.ErrNotFound) && !errors.Is(err, procwatch.ErrCannotExec) {
		return err
	}
	name := r.spec.Argv[0]
	if path, set := procwatch.SearchPath(os.Environ()); strings.Contains(name, "/") {
		dir, _ := os.Getwd()
		r.say.verbosef("looked for %q from %s", name, dir)
	} else if set {
		r.say.verbosef("looked for %q in the directories of PATH, which is %s", name, path)
	} else {
		r.say.verbosef("looked for %q in %s, because PATH is not set", name, path)
	}
	if next := r.secondValue(); next != "" {
		return words.Hinted(err, next)
	}
	if line := words.ShellWords(r.spec.Argv, os.Environ(), errors.Is(err, procwatch.ErrNotFound)); line != nil {
		return words.Hinted(err, "berth run "+words.Typed.Before(len(r.spec.Argv))+"-- "+strings.Join(text.Quoted(line), " "))
	}
	return err
}

// secondValue is for 'run --need mem=2G cpu=1 -- make': a flag has one value, and what
// follows it is a command.
func (r *runner) secondValue() string {
	argv := r.spec.Argv
	end := slices.Index(argv, "--")
	if end < 1 || len(words.Typed.Flags) == 0 || slices.ContainsFunc(argv[:end], func(w string) bool { return !strings.Contains(w, "=") }) {
		return ""
	}
	next := "berth run " + words.Typed.Before(len(argv))
	switch flag, _, _ := strings.Cut(words.Typed.Flags[len(words.Typed.Flags)-1], "="); flag {
	case "--need", "--max-pressure":
		next = strings.TrimSuffix(next, " ") + "," + strings.Join(text.Quoted(argv[:end]), ",") + " "
	case "--label", "--min-disk":
		for _, value := range text.Quoted(argv[:end]) {
			next += flag + " " + value + " "
		}
	default:
		return ""
	}
	return next + strings.Join(text.Quoted(argv[end:]), " ")
}
