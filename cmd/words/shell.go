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

// ShellWords are the line that do what these seem to mean, where they are a shell's
// own, a line for a shell in one word, or begin with a variable. Else nil.
func ShellWords(argv, env []string, missing bool) []string {
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
