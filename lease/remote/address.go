// Package remote says where a store on a server is: its address, read from a URL, and
// what may be shown of that without telling a password.
//
// It is linked by programs without any client, so it imports nothing of the network.
package remote

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Address says where a store on a server is, how to log in there, and how to use it.
type Address struct {
	Scheme   string
	User     *url.Userinfo // nil: none
	Hosts    []string      // with their ports, where they were given
	Path     string        // from its slash on
	Settings url.Values    // what followed the question mark
	// Replicas is how many copies of the store must have a grant or a renewal
	// before it counts, where copies lag behind.
	Replicas int
	// Trouble is called once for each outage, with the error, while the store is tried
	// again. It may be nil.
	Trouble func(error)
	// Notice is called once for each thing that is wrong with the store and does not stop
	// us, such as a record that cannot be read. It may be nil.
	Notice func(error)
}

// ParseURL reads an Address from a URL with one host or more:
// scheme://[user[:password]@]host[:port][,host[:port]...][/path][?name=value...].
// The package net/url knows one host only.
func ParseURL(s string) (Address, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	at := strings.LastIndex(rest[:end], "@") + 1
	if strings.Contains(rest[end:], "@") { // part of a password would be taken for a host
		return Address{}, fmt.Errorf("%q has an @ behind a /, ? or #: in a password these are written %%40, %%2F, %%3F and %%23", unreadable(s))
	}
	hosts := rest[at:end]
	one, _, _ := strings.Cut(hosts, ",")
	u, err := url.Parse(scheme + "://" + rest[:at] + one + rest[end:])
	if err != nil || !ok || u.Opaque != "" { // user:password@scheme://host
		// The error of net/url quotes what it was given, the password, too.
		return Address{}, fmt.Errorf("%q is not a URL like scheme://host:port/path", unreadable(s))
	}
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil { // it quotes, too
		return Address{}, fmt.Errorf("cannot read what follows the question mark of %q", unreadable(s))
	}
	a := Address{Scheme: u.Scheme, User: u.User, Path: u.Path, Settings: values}
	for h := range strings.SplitSeq(hosts, ",") {
		if h != "" {
			a.Hosts = append(a.Hosts, h)
		}
	}
	return a, nil
}

// DiscreetURL is what may be shown of a URL, also of one that cannot be read.
func DiscreetURL(s string) string {
	if a, err := ParseURL(s); err == nil {
		return a.Name()
	}
	return unreadable(s)
}

func unreadable(s string) string {
	scheme, rest, ok := strings.Cut(s, "://")
	switch {
	case !ok:
		return Discreet(s)
	case strings.ContainsAny(scheme, ":@"): // a password stands before the slip
		scheme = "…"
	}
	return scheme + "://" + Discreet(rest)
}

// Discreet is what may be shown of [USER[:PASSWORD]@]HOST..., the part of a URL behind
// its scheme, however wrong it is: nothing before the last @, no settings, and of the
// rest what can hardly be a password.
func Discreet(rest string) string {
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

// shown are the settings that may be seen. Another may be meant for a password.
var shown = []string{"db", "fresh", "cacert", "cert", "key", "insecure-skip-tls-verify", "sentinel_user"}

// IsShown reports whether a setting of that name is no secret.
func IsShown(name string) bool { return slices.Contains(shown, name) }

// Name is the URL for people: without passwords. A user without one may be a password
// whose colon was forgotten.
func (a Address) Name() string {
	var b strings.Builder
	b.WriteString(a.Scheme + "://")
	if name := a.User.Username(); name != "" && hasPassword(a.User) {
		b.WriteString(url.User(name).String() + "@")
	}
	b.WriteString(strings.Join(a.Hosts, ",") + a.Path)
	sep := "?"
	for _, name := range shown {
		if a.Settings.Has(name) {
			b.WriteString(sep + name + "=" + a.Settings.Get(name)) // as people type it
			sep = "&"
		}
	}
	return b.String()
}

func hasPassword(u *url.Userinfo) bool {
	_, ok := u.Password()
	return ok
}
