// Package client holds what the clients of servers share: addresses, TLS, what an error
// of the network means, and what is saved on a server later than it happens.
//
// It is apart from package remote because it links the network and TLS, which cost every
// start of a program that has no use for them.
package client

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"
	"syscall"

	"berth/lease"
)

// Fault is why a server cannot be used, and what to do about it.
type Fault struct {
	Err     error
	Hint    string // "": nothing is known
	Passes  bool   // the same step may succeed later without a person's help
	Answers bool   // the server is there
}

// Of makes f an error about the store of that name: *lease.UnreachableError if f passes,
// else *lease.RefusedError.
func (f Fault) Of(store string) error {
	if f.Passes {
		return &lease.UnreachableError{Store: store, Answers: f.Answers, Err: f.Err, Hint: f.Hint}
	}
	return &lease.RefusedError{Store: store, Err: f.Err, Hint: f.Hint}
}

// Network explains an error of a connection that could not be made, or has ended.
func Network(err error) Fault {
	var name *net.DNSError
	var port *net.AddrError
	switch {
	case errors.As(err, &name) && name.IsNotFound:
		return Fault{Err: fmt.Errorf("no such host: %s", name.Name), Hint: "getent hosts " + name.Name + "; --store or BERTH_STORE names the server", Passes: true}
	case errors.As(err, &port):
		return Fault{Err: port}
	}
	return Fault{Err: Short(err), Passes: true}
}

// Short is err without the addresses, which the name of the store has already.
func Short(err error) error {
	if op := (*net.OpError)(nil); isDial(err) && errors.As(err, &op) {
		return op.Err
	}
	return err
}

// isDial reports whether no connection was made.
func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// NobodyThere reports whether the network says that nothing listens at an address.
func NobodyThere(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH) ||
		errors.Is(err, fs.ErrNotExist) || errors.As(err, new(*net.DNSError))
}

// WithPort returns hosts, each with a port.
func WithPort(hosts []string, port string) []string {
	hosts = slices.Clone(hosts)
	for i, h := range hosts {
		if _, _, err := net.SplitHostPort(h); err != nil {
			hosts[i] = net.JoinHostPort(strings.Trim(h, "[]"), port)
		}
	}
	return hosts
}
