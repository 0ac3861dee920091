package lease

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Dial is how a store is opened that others can reach when we cannot.
type Dial struct {
	Scheme   string
	User     *url.Userinfo // nil: none
	Hosts    []string      // with their ports, where they were given
	Path     string        // from its slash on
	Settings url.Values    // what followed the question mark
	// Replicas is how many copies of the store must have a grant or a renewal
	// before it counts, where copies lag behind.
	Replicas int
	// Trouble is told that the store cannot be reached and is tried again, once
	// for each outage; nil: nobody is told.
	Trouble func(error)
	// Notice is told, once each, of what is wrong with the store and does not stop us, such
	// as a record that cannot be read and is set aside; nil: nobody is told.
	Notice func(error)
}

// ParseURL reads a Dial from a URL with one host or more:
// scheme://[user[:password]@]host[:port][,host[:port]...][/path][?name=value...].
// The package net/url knows one host only.
func ParseURL(s string) (Dial, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	at := strings.LastIndex(rest[:end], "@") + 1
	if strings.Contains(rest[end:], "@") { // part of a password would be taken for a host
		return Dial{}, fmt.Errorf("%q has an @ behind a /, ? or #: in a password these are written %%40, %%2F, %%3F and %%23", unreadable(s))
	}
	hosts := rest[at:end]
	one, _, _ := strings.Cut(hosts, ",")
	u, err := url.Parse(scheme + "://" + rest[:at] + one + rest[end:])
	if err != nil || !ok || u.Opaque != "" { // user:password@scheme://host
		// The error of net/url quotes what it was given, the password, too.
		return Dial{}, fmt.Errorf("%q is not a URL like scheme://host:port/path", unreadable(s))
	}
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil { // it quotes, too
		return Dial{}, fmt.Errorf("cannot read what follows the question mark of %q", unreadable(s))
	}
	d := Dial{Scheme: u.Scheme, User: u.User, Path: u.Path, Settings: values}
	for h := range strings.SplitSeq(hosts, ",") {
		if h != "" {
			d.Hosts = append(d.Hosts, h)
		}
	}
	return d, nil
}

// DiscreetURL is what may be shown of a URL, also of one that cannot be read.
func DiscreetURL(s string) string {
	if d, err := ParseURL(s); err == nil {
		return d.Name()
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
func (d Dial) Name() string {
	var b strings.Builder
	b.WriteString(d.Scheme + "://")
	if name := d.User.Username(); name != "" && hasPassword(d.User) {
		b.WriteString(url.User(name).String() + "@")
	}
	b.WriteString(strings.Join(d.Hosts, ",") + d.Path)
	sep := "?"
	for _, name := range shown {
		if d.Settings.Has(name) {
			b.WriteString(sep + name + "=" + d.Settings.Get(name)) // as people type it
			sep = "&"
		}
	}
	return b.String()
}

func hasPassword(u *url.Userinfo) bool {
	_, ok := u.Password()
	return ok
}

// UnreachableError says that a store does not answer, or not as it should.
type UnreachableError struct {
	Store   string // without passwords
	Answers bool   // it is there, and cannot do what it was asked for now
	Err     error
	Hint    string // what to do about it; "": nothing is known but the address
}

func (e *UnreachableError) Error() string {
	if e.Answers {
		return "store " + e.Store + " cannot do it now: " + e.Err.Error()
	}
	return "cannot reach store " + e.Store + ": " + e.Err.Error()
}
func (e *UnreachableError) Unwrap() error { return e.Err }

// RefusedError says that a store cannot be used as it is asked for, and that waiting
// does not change it: somebody has to.
type RefusedError struct {
	Store string // without passwords
	Err   error
	Hint  string // what to do about it; "": nothing is known
}

func (e *RefusedError) Error() string { return "cannot use store " + e.Store + ": " + e.Err.Error() }
func (e *RefusedError) Unwrap() error { return e.Err }

const (
	firstPause = 20 * time.Millisecond
	mostPause  = 2 * time.Second
	// quietFor is how long an outage may last before anybody is told.
	quietFor = time.Second
)

// Persist calls f until it succeeds, ctx ends, or it fails otherwise than by an
// UnreachableError. It returns f's last error, or the cause when ctx was cancelled. That
// the time was over says less than why nothing came of it: an attempt that the end of ctx
// has cut short does not count where there was another before. f must be safe to repeat
// when its answer was lost. trouble may be nil.
func Persist(ctx context.Context, trouble func(error), f func(context.Context) error) error {
	begun, told := time.Now(), trouble == nil
	var last error // of an attempt that was not cut short
	for pause := firstPause; ; pause = min(2*pause, mostPause) {
		err := f(ctx)
		var out *UnreachableError
		if !errors.As(err, &out) {
			return err
		}
		if ctx.Err() != nil && last != nil {
			err = last
		}
		if ctx.Err() != nil {
			return ended(ctx, err)
		}
		last = err
		if !told && time.Since(begun) > quietFor {
			told = true
			trouble(err)
		}
		select {
		case <-ctx.Done():
			return ended(ctx, err)
		case <-time.After(pause):
		}
	}
}

func ended(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return err
}
