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

// A password is in the URL of a store, and by a slip in any other word: behind a flag
// that is none, as a pool, as a directory. Those who know that a word is a store show
// discreet(word); all that is said goes through hidden as well, because the messages
// about wrong words quote them.

// Discreet is what may be shown of what a store is named by.
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

// Suspects are the words that we were given, typed or in our variables, and that may hold a
// password.
var Suspects = sync.OnceValue(func() []string {
	words := slices.Clone(os.Args[1:])
	for _, e := range os.Environ() {
		if name, value, _ := strings.Cut(e, "="); strings.HasPrefix(name, "BERTH_") {
			words = append(words, value)
		}
	}
	return slices.DeleteFunc(words, func(w string) bool {
		_, ok := behindScheme(w)
		return !ok && !strings.ContainsAny(w, "@?")
	})
})

// HidePasswords is a text in which words that were given may be quoted, without what may be a
// password in them.
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

// asQuoted is a word as it stands in a message: as it is, as Go quotes it, as a shell
// wants it, and both.
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

// betweenParts are what we take words apart at.
const betweenParts = ":/,=?#& "

// withoutLogin is text without what stands in it as it does in word before the last @:
// as much of that as agrees, and not by chance: its last part, or some of a long one,
// which a flag may be attached to. A name with an @, as a pool's may be, is none.
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

// schemeOfLogin is what is kept of it, with its colon.
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

// WithoutLogins is a word of somebody's command without the user and the password of the
// URLs in it. Who looks at a pool is not told more than ps tells on the same machine, and
// less on another.
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

// leastSecret is how long a part of a word is that is hidden wherever it stands.
const leastSecret = 4

// secretsIn are those parts of a word that may be a password, or a part of one, and
// need not stand before an @ where they are quoted.
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

// behindScheme is what a word has behind a scheme that stands anywhere in it: a flag,
// or the name of a variable, may be before that.
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
