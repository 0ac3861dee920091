package remote

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// RedactURL returns what may be shown of a URL, also of one that cannot be parsed.
func RedactURL(s string) string {
	if a, err := ParseURL(s); err == nil {
		return a.Name()
	}
	return redactUnparsed(s)
}

func redactUnparsed(s string) string {
	scheme, rest, ok := strings.Cut(s, "://")
	switch {
	case !ok:
		return Redact(s)
	case strings.ContainsAny(scheme, ":@"): // the password stands before the misplaced ://
		scheme = "…"
	}
	return scheme + "://" + Redact(rest)
}

// Redact returns what may be shown of the part of a URL after its scheme, however malformed:
// [USER[:PASSWORD]@]HOST... Nothing before the last @ is shown, no settings, and the rest only
// if it looks like hosts.
func Redact(rest string) string {
	at := strings.LastIndexByte(rest, '@') + 1
	shown := rest[at:]
	if end := strings.IndexAny(shown, "?#"); end >= 0 {
		shown = shown[:end] + "…"
	}
	switch {
	case at > 0 && !isHosts(shown):
		return "…@…"
	case at > 0:
		return "…@" + shown
	case !isHosts(shown):
		return "…"
	}
	return shown
}

// isHosts reports whether s is HOST[:PORT],... and perhaps a path.
func isHosts(s string) bool {
	hosts, path, _ := strings.Cut(s, "/")
	for host := range strings.SplitSeq(hosts, ",") {
		if _, err := netip.ParseAddr(host); err == nil {
			continue
		}
		name, port := host, ""
		if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
			name, port = host[:i], host[i+1:]
		}
		_, err := netip.ParseAddr(strings.Trim(name, "[]"))
		if err != nil && strings.Contains(name, ":") || strings.Trim(strings.TrimSuffix(port, "…"), "0123456789") != "" {
			return false
		}
	}
	return !strings.Contains(path, ":")
}

// public are the settings that may be shown. An unknown one may be meant for a password.
var public = []string{"db", "fresh", "cacert", "cert", "key", "insecure-skip-tls-verify", "sentinel_user"}

// IsPublic reports whether the value of a setting may be shown.
func IsPublic(name string) bool { return slices.Contains(public, name) }

// Name is the URL for people, without passwords. A user without a password is left out as
// well: it may be a password whose colon was forgotten.
func (a Address) Name() string {
	var b strings.Builder
	b.WriteString(a.Scheme + "://")
	if name := a.User.Username(); name != "" && hasPassword(a.User) {
		b.WriteString(url.User(name).String() + "@")
	}
	b.WriteString(strings.Join(a.Hosts, ",") + a.Path)
	sep := "?"
	for _, name := range public {
		if a.Settings.Has(name) {
			b.WriteString(sep + name + "=" + a.Settings.Get(name)) // not escaped, as people type it
			sep = "&"
		}
	}
	return b.String()
}

func hasPassword(u *url.Userinfo) bool {
	_, ok := u.Password()
	return ok
}
