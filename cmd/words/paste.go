package words

import (
	"slices"
	"strings"

	"berth/cmd/storename"
	"berth/cmd/text"
	"berth/lease/remote"
)

// typedLine is what hints repeat of what was typed, so that they can be pasted. Parse notes
// it down before anything is said.
type typedLine struct {
	words []string // as typed, without berth and the command's name
	flags []string // each as --name=value
	own   []string // --store and --store-owner, in that form
}

var typed typedLine

func (t *typedLine) note(l *parsedLine) {
	*t = typedLine{words: l.words, flags: l.flags}
	for _, f := range t.flags {
		if strings.HasPrefix(f, "--store=") || strings.HasPrefix(f, "--store-owner=") {
			t.own = append(t.own, f)
		}
	}
}

// store is --store and --store-owner as they are typed, without the password of a URL. It
// is "" for a URL that cannot be parsed: the password could be anywhere in it.
func (t *typedLine) store() string {
	var b strings.Builder
	for _, f := range t.own {
		name, value, _ := strings.Cut(f, "=")
		if storename.IsURL(value) {
			d, err := remote.ParseURL(value)
			if err != nil {
				return ""
			}
			value = d.Name()
		} else if storename.Discreet(value) != value {
			return ""
		}
		sep := " "
		if strings.HasPrefix(value, "-") {
			sep = "="
		}
		b.WriteString(" " + name + sep + text.Quoted([]string{value})[0])
	}
	return b.String()
}

// before is the flags as they were typed before the last n words, without those of the
// store, each followed by a blank.
func (t *typedLine) before(n int) string {
	words := t.words[:max(0, len(t.words)-n)]
	var b strings.Builder
	for i := 0; i < len(words) && words[i] != "--"; i++ {
		name, _, attached := strings.Cut(strings.TrimLeft(words[i], "-"), "=")
		switch {
		case words[i][:min(1, len(words[i]))] != "-" || name != "store" && name != "store-owner":
			b.WriteString(text.Quoted(words[i : i+1])[0] + " ")
		case !attached:
			i++ // its value
		}
	}
	return b.String()
}

// takesStore reports whether a command has the flag --store.
func takesStore(command string) bool {
	for _, c := range commands {
		if c.name == command {
			return slices.ContainsFunc(c.build().Flags, func(f Flag) bool { return f.Name == "store" })
		}
	}
	return false
}

// InSameStore adds the --store and --store-owner that were typed to each command of berth
// in a text that can be pasted. Without them the command would read or change another store.
func InSameStore(text string) string { return typed.inSameStore(text) }

func (t *typedLine) inSameStore(text string) string {
	const name = "berth "
	if len(t.own) == 0 {
		return text
	}
	store, from := t.store(), 0
	for {
		i := strings.Index(text[from:], name)
		if i < 0 || strings.Contains(text[:from+i], " -- ") { // there it is a job's
			return text
		}
		before := text[:from+i]
		from += i + len(name)
		word := text[from:]
		if end := strings.IndexAny(word, " ,'"); end >= 0 {
			word = word[:end]
		}
		rest := text[from+len(word):]
		begins := before == "" || strings.HasSuffix(before, ", or ") || strings.HasSuffix(before, ": ") ||
			strings.HasSuffix(before, " '") && strings.HasPrefix(rest, " ") // not the name of a command alone
		if begins && takesStore(word) && !strings.HasPrefix(rest, " --help") {
			from += len(word)
			text = text[:from] + store + rest
		}
	}
}
