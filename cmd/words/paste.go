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

func (t *typedLine) note(l *line) {
	*t = typedLine{words: l.words, flags: l.flags}
	for _, f := range t.flags {
		if strings.HasPrefix(f, "--store=") || strings.HasPrefix(f, "--store-owner=") {
			t.own = append(t.own, f)
		}
	}
}

// store is the flags that say which store, as they are typed. A password of a URL is
// shown to nobody: of a URL that cannot be read nothing is.
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

// before are the flags as they were typed before the last n words, without those of
// the store, each with a blank behind it.
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

// takeStore are the commands that --store can be typed behind.
var takeStore = []string{"run", "ls", "limit", "probe", "stop", "held", "keepalive"}

// InSameStore is a text in which each command of berth that can be pasted is about the
// store that the flags named: without them it would tell of another, or change it.
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
		if begins && slices.Contains(takeStore, word) && !strings.HasPrefix(rest, " --help") {
			from += len(word)
			text = text[:from] + store + rest
		}
	}
}
