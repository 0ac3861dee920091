// Package remote says where a store on a server is: its address, read from a URL, and
// what may be shown of that without telling a password.
//
// It is linked by programs without any client, so it imports nothing of the network.
package remote

import (
	"fmt"
	"net/url"
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
// Its errors tell no password.
func ParseURL(s string) (Address, error) {
	// Package net/url parses one host only.
	scheme, rest, ok := strings.Cut(s, "://")
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	at := strings.LastIndex(rest[:end], "@") + 1
	if strings.Contains(rest[end:], "@") { // or part of a password would be taken for a host
		return Address{}, fmt.Errorf("%q has an @ behind a /, ? or #: in a password these are written %%40, %%2F, %%3F and %%23", redactUnparsed(s))
	}
	hosts := rest[at:end]
	one, _, _ := strings.Cut(hosts, ",")
	u, err := url.Parse(scheme + "://" + rest[:at] + one + rest[end:])
	if err != nil || !ok || u.Opaque != "" { // user:password@scheme://host
		// The error of net/url quotes the URL with its password.
		return Address{}, fmt.Errorf("%q is not a URL like scheme://host:port/path", redactUnparsed(s))
	}
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil { // that error quotes as well
		return Address{}, fmt.Errorf("cannot read what follows the question mark of %q", redactUnparsed(s))
	}
	a := Address{Scheme: u.Scheme, User: u.User, Path: u.Path, Settings: values}
	for h := range strings.SplitSeq(hosts, ",") {
		if h != "" {
			a.Hosts = append(a.Hosts, h)
		}
	}
	return a, nil
}
