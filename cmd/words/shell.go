package words

import (
	"slices"
	"strings"

	"berth/cmd/text"
)

var (
	posixWords = strings.Fields(". : alias bg break cd command continue eval exec exit export fc fg getopts hash jobs " +
		"local read readonly return set shift times trap type ulimit umask unalias unset wait !")
	bashWords = strings.Fields("builtin caller compgen complete declare dirs disown enable history let mapfile " +
		"popd pushd readarray shopt source suspend time typeset")
)

// shellWords are words that do what argv seems to mean, when it is a shell's own command, a
// whole command line in one word, or begins with an assignment; else nil.
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

// Advice is what a caller seems to have meant by a command that cannot be run in the
// environment env; "" if there is nothing to say. missing: no program has its name.
func Advice(argv, env []string, missing bool) string {
	if next := secondValue(argv); next != "" {
		return next
	}
	if words := shellWords(argv, env, missing); words != nil {
		return "berth run " + typed.before(len(argv)) + "-- " + strings.Join(text.Quoted(words), " ")
	}
	return ""
}

// secondValue is for 'run --need mem=2G cpu=1 -- make': a flag takes one value, so cpu=1 was
// taken for the command.
func secondValue(argv []string) string {
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
