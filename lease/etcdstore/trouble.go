package etcdstore

import (
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"berth/lease"
	"berth/lease/remote/client"
)

const loginHint = "the user is in ETCDCTL_USER and ETCDCTL_PASSWORD, or as etcd://USER:PASSWORD@HOST in the URL, which wins"

// refusal is what a person has to change before the cluster does anything for us; nil:
// the error is about something else.
func (s *Store) refusal(err error) error {
	who := "without a user one"
	if s.user != nil {
		who = fmt.Sprintf("user %q", s.user.name)
	}
	refusal := func(hint, format string, args ...any) error {
		return &lease.RefusedError{Store: s.name, Err: fmt.Errorf(format, args...), Hint: hint}
	}
	dir := strings.TrimSuffix(s.dir, "pools/")
	switch {
	case errors.Is(err, rpctypes.ErrUserEmpty):
		return refusal(loginHint, "it wants a user and a password: %w", err)
	case errors.Is(err, rpctypes.ErrAuthFailed) && s.user != nil:
		return refusal(loginHint, "the password of %q is wrong, or there is no such user: %w", s.user.name, err)
	case errors.Is(err, rpctypes.ErrPermissionDenied):
		return refusal("etcdctl role grant-permission ROLE --prefix=true readwrite "+dir+", for a role of that user",
			"%s must not read and write the keys that begin with %s: %w", who, dir, err)
	}
	return nil
}

// kind is how a member is recognised. One with TLS answers the greeting, too, and says
// that it is spoken to without.
var kind = &client.Kind{
	Name:     "etcd",
	Greeting: "GET /version HTTP/1.0\r\n\r\n",
	Recognise: func(line string) client.Identity {
		switch {
		case strings.HasPrefix(line, "HTTP/1.") && strings.Contains(line, " 200"):
			return client.Same
		case strings.HasPrefix(line, "HTTP/"), line[0] == 0: // a proxy, or a member that speaks HTTP/2 only
			return client.Unclear
		}
		return client.Other
	},
	Hints: client.Hints{
		UseTLS:   "write etcds://, with an s, in the URL",
		NoTLS:    "write etcd://, without the s, in the URL, or the port at which it speaks TLS",
		CACert:   "put the file of the authority's certificate into ETCDCTL_CACERT, or into the URL: etcds://HOST:PORT/PREFIX?cacert=FILE",
		Cert:     "put one that its authority has signed into ETCDCTL_CERT and ETCDCTL_KEY, or into the URL: ?cert=FILE&key=FILE",
		CAOption: "--trusted-ca-file",
	},
}

// whyNeverAnswered explains why a cluster that has never answered does not: more likely than
// an outage is that the URL is wrong. gRPC most often says only that a connection was closed.
func (s *Store) whyNeverAnswered(err error) error {
	var first client.Fault
	for _, e := range s.endpoints {
		_, host, _ := strings.Cut(e, "://")
		f := kind.Probe(s.client.Ctx(), host, s.tls)
		if f.Err != nil && !f.Passes {
			return f.Of(s.name)
		}
		if first.Err == nil {
			first = f
		}
	}
	switch {
	case first.Err != nil:
		return first.Of(s.name)
	case errors.Is(err, errNoAnswer):
		err = fmt.Errorf("it takes connections, but %w: no majority of the members may be up", errNoAnswer)
	}
	return &lease.UnreachableError{Store: s.name, Err: err}
}
