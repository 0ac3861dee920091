package storename

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"berth/lease"
	"berth/lease/remote"
)

// A password may stand in the URL of a store and, after a slip, in any other word: behind an
// unknown flag, as a pool, as a directory. Code that knows that a word is a store shows
// Discreet(word). All messages go through HidePasswords as well, because messages about wrong
// words quote the words.

// Discreet is the name of a store without its password.
func Discreet(where string) string {
	switch scheme, rest, ok := Cut(where); {
	case isPath(where), strings.HasPrefix(where, "~"):
		return DiscreetPath(where)
	case IsURL(where):
		return remote.RedactURL(where)
	case ok:
		return scheme + strings.TrimSuffix(where[len(scheme):], rest) + remote.Redact(rest)
	}
	return remote.Redact(where)
}

// DiscreetPath hides what is between a colon and an @. There is nothing to hide in
// /home/me@corp.
func DiscreetPath(path string) string {
	at := strings.LastIndexByte(path, '@')
	colon := strings.IndexByte(path, ':')
	if colon < 0 || at < colon {
		return path
	}
	return path[:colon+1] + "…" + path[at:]
}

// Suspects are the words of the command line, of our variables and of MachineFile that may hold
// a password.
var Suspects = sync.OnceValue(func() []string {
	words := slices.Clone(os.Args[1:])
	for _, e := range os.Environ() {
		if name, value, _ := strings.Cut(e, "="); strings.HasPrefix(name, "BERTH_") {
			words = append(words, value)
		}
	}
	if machines != "" {
		words = append(words, machines)
	}
	return slices.DeleteFunc(words, func(w string) bool {
		_, ok := behindScheme(w)
		return !ok && !strings.ContainsAny(w, "@?")
	})
})

// HidePasswords removes from a text, which may quote some of the words, what may be a password
// in them.
func HidePasswords(text string, words []string) string {
	for _, w := range words {
		text = withoutLogin(text, w)
		for _, secret := range secretsIn(w) {
			for _, form := range asQuoted(secret) {
				text = strings.ReplaceAll(text, form, "…")
			}
		}
	}
	return text
}

// asQuoted are the forms in which a word stands in a message: as it is, quoted by Go, quoted
// for a shell, and both.
func asQuoted(w string) []string {
	in := func(w string) string {
		q := strconv.Quote(w)
		return q[1 : len(q)-1]
	}
	shell := strings.ReplaceAll(w, "'", `'\''`)
	forms := []string{w, in(w), shell, in(shell)}
	slices.Sort(forms)
	return slices.Compact(forms)
}

// betweenParts are the characters at which words are split.
const betweenParts = ":/,=?#& "

// withoutLogin removes from a text what stands before the last @ of word. The text may have
// only the end of that, so the longest common end is removed, if it is long enough not to be
// chance. A word that is a pool's name with an @ has no login.
func withoutLogin(text, word string) string {
	at := strings.LastIndexByte(word, '@')
	if at < 0 || lease.CheckPool(word) == nil || isPath(word) && DiscreetPath(word) == word {
		return text
	}
	login := word[:at]
	if isPath(word) {
		login = word[strings.IndexByte(word, ':')+1 : at]
	}
	least := max(1, min(leastSecret, len(login)-1-strings.LastIndexAny(login, betweenParts)))
	forms, host := asQuoted(login), ""
	if !strings.ContainsAny(login, ":/") { // me@box:x in a job's command; others are me@box, too
		host = word[at:]
	}
	for from := 0; ; {
		i := strings.IndexByte(text[from:], '@')
		if i < 0 {
			return text
		}
		i += from
		n := 0
		for _, form := range forms {
			n = max(n, commonEnd(text[:i], form))
		}
		if from = i + 1; n >= least && strings.HasPrefix(text[i:], host) {
			before := text[:i-n] + schemeOfLogin(text[i-n:i]) + "…"
			text, from = before+text[i:], len(before)+1
		}
	}
}

// schemeOfLogin is the scheme of a login with its colon, which is kept.
func schemeOfLogin(login string) string {
	if scheme, _, ok := Cut(login); ok {
		return login[:len(scheme)+1]
	}
	return ""
}

func commonEnd(a, b string) (n int) {
	for n < len(a) && n < len(b) && a[len(a)-1-n] == b[len(b)-1-n] {
		n++
	}
	return n
}

// WithoutLogins is a word of a command without the user names and passwords of the URLs in it.
// The users of a store see it, also on other machines.
func WithoutLogins(word string) string {
	for from := 0; ; {
		i := strings.Index(word[from:], "://")
		if i < 0 {
			return word
		}
		from += i + len("://")
		end := strings.IndexAny(word[from:], " \t\n'\"")
		if end < 0 {
			end = len(word) - from
		}
		if at := strings.LastIndexByte(word[from:from+end], '@'); at >= 0 && strings.Contains(word[from:from+at], ":") {
			word = word[:from] + "…" + word[from+at:]
		}
	}
}

// leastSecret is the shortest part of a word that is hidden wherever it stands.
const leastSecret = 4

// secretsIn are the parts of a word that may be a password, or a part of one, and that may be
// quoted without an @ behind them.
func secretsIn(word string) (secrets []string) {
	at := strings.LastIndexByte(word, '@')
	_, settings, _ := strings.Cut(word[at+1:], "?")
	for setting := range strings.SplitSeq(settings, "&") {
		if name, value, ok := strings.Cut(setting, "="); !ok {
			secrets = append(secrets, setting)
		} else if !remote.IsPublic(name) {
			secrets = append(secrets, value)
		}
	}
	switch rest, ok := behindScheme(word); {
	case at >= 0 && strings.ContainsAny(word[:at], ":/"): // lists and KEY=VALUE are taken apart
		if parts := strings.FieldsFunc(word[:at], func(r rune) bool { return r == ',' || r == '=' }); len(parts) > 1 {
			secrets = append(secrets, parts...)
		}
	case ok && at < 0 && strings.HasPrefix(remote.Redact(rest), "…"):
		secrets = append(secrets, rest)
	}
	return slices.DeleteFunc(secrets, func(s string) bool { return len(s) < leastSecret || s[0] == '-' && !strings.Contains(s, ":") })
}

// behindScheme is what follows a scheme anywhere in a word. A flag or the name of a variable may
// stand before the scheme.
func behindScheme(word string) (rest string, ok bool) {
	for i := range len(word) {
		if word[i] != ':' {
			continue
		}
		start := strings.LastIndexFunc(word[:i], func(r rune) bool { return r != '+' && !unicode.IsLetter(r) }) + 1
		if Meant(word[start:i]) != "" {
			return strings.TrimLeft(word[i+1:], "/"), true
		}
	}
	return "", false
}
