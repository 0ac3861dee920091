package cmd

import (
	"errors"
	"os"
	"slices"
	"strings"

	"berth/cmd/text"
	"berth/procwatch"
)

// find tells of a command that cannot be run before anybody waits for its slot. One
// that comes while we wait would be too late; one that goes is missed at the start.
func (r *runner) find() error { return procwatch.Find(r.spec.argv, os.Environ()) }

// advised adds to an error of the look-up what a shell would have made of the words.
func (r *runner) advised(err error) error {
	if !errors.Is(err, procwatch.ErrNotFound) && !errors.Is(err, procwatch.ErrCannotExec) {
		return err
	}
	name := r.spec.argv[0]
	if path, set := procwatch.SearchPath(os.Environ()); strings.Contains(name, "/") {
		dir, _ := os.Getwd()
		r.say.verbosef("looked for %q from %s", name, dir)
	} else if set {
		r.say.verbosef("looked for %q in the directories of PATH, which is %s", name, path)
	} else {
		r.say.verbosef("looked for %q in %s, because PATH is not set", name, path)
	}
	if next := r.secondValue(); next != "" {
		return &hintedError{err, next}
	}
	if words := shellWords(r.spec.argv, os.Environ(), errors.Is(err, procwatch.ErrNotFound)); words != nil {
		return &hintedError{err, "berth run " + typed.before(len(r.spec.argv)) + "-- " + strings.Join(text.Quoted(words), " ")}
	}
	return err
}

// secondValue is for 'run --need mem=2G cpu=1 -- make': a flag has one value, and what
// follows it is a command.
func (r *runner) secondValue() string {
	argv := r.spec.argv
	end := slices.Index(argv, "--")
	if end < 1 || len(typed.flags) == 0 || slices.ContainsFunc(argv[:end], func(w string) bool { return !strings.Contains(w, "=") }) {
		return ""
	}
	next := "berth run " + typed.before(len(argv))
	switch flag, _, _ := strings.Cut(typed.flags[len(typed.flags)-1], "="); flag {
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

var (
	posixWords = strings.Fields(". : alias bg break cd command continue eval exec exit export fc fg getopts hash jobs " +
		"local read readonly return set shift times trap type ulimit umask unalias unset wait !")
	bashWords = strings.Fields("builtin caller compgen complete declare dirs disown enable history let mapfile " +
		"popd pushd readarray shopt source suspend time typeset")
)

// shellWords are the words that do what these seem to mean, where they are a shell's
// own, a line for a shell in one word, or begin with a variable. Else nil.
func shellWords(argv, env []string, missing bool) []string {
	name := argv[0]
	line := strings.Join(append([]string{name}, text.Quoted(argv[1:])...), " ") // quoted, it were no word of the shell's
	variable, _, assigns := strings.Cut(name, "=")
	exported := func(kv string) bool { return strings.HasPrefix(kv, "BASH_FUNC_"+name+"%%=") }
	switch {
	case slices.Contains(posixWords, name):
		return []string{"sh", "-c", line}
	case slices.Contains(bashWords, name), slices.ContainsFunc(env, exported):
		return []string{"bash", "-c", line}
	case !missing:
		return nil
	case assigns && isVariable(variable) && len(argv) > 1:
		if argv[1] == "--" { // env would take it for the command
			argv = append([]string{name}, argv[2:]...)
		}
		return append([]string{"env"}, argv...)
	case strings.ContainsAny(name, " \t\n;|&<>()$`*?"):
		return []string{"sh", "-c", line}
	}
	return nil
}

func isVariable(name string) bool {
	digits := "0123456789"
	return name != "" && !strings.Contains(digits, name[:1]) &&
		strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"+digits) == ""
}
