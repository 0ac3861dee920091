package etcdstore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"berth/lease"
)

const loginHint = "the user is in ETCDCTL_USER and ETCDCTL_PASSWORD, or as etcd://USER:PASSWORD@HOST in the URL, which wins"

// refusal is what somebody has to change before the cluster does anything for us; nil:
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

var (
	errWantsTLS = errors.New("it speaks TLS, and is spoken to without")
	errNoTLS    = errors.New("it does not speak TLS")
)

// ofTLS is about a connection that TLS did not let be; nil: it is about something else.
func (s *Store) ofTLS(err error) error {
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
	)
	refusal := func(hint, format string, args ...any) error {
		return &lease.RefusedError{Store: s.name, Err: fmt.Errorf(format, args...), Hint: hint}
	}
	said := alert(err)
	switch {
	case errors.As(err, &unknown):
		return refusal("put the file of the authority's certificate into ETCDCTL_CACERT, or into the URL: etcds://HOST:PORT/PREFIX?cacert=FILE",
			"nobody known here has signed its certificate: %w", unknown)
	case errors.As(err, &name):
		return refusal("connect by a name that is in its certificate", "its certificate is for %s, and not for %s", names(name.Certificate), name.Host)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		c := invalid.Cert
		return refusal("date shows this machine's clock; if that is right, the server needs a new certificate",
			"its certificate is valid from %s to %s only", c.NotBefore.UTC().Format(time.RFC3339), c.NotAfter.UTC().Format(time.RFC3339))
	case errors.As(err, &invalid):
		return refusal("the server needs another certificate", "its certificate is not valid: %w", invalid)
	case errors.Is(err, errWantsTLS):
		return refusal("write etcds://, with an s, in the URL", "%w", err)
	case errors.Is(err, errNoTLS):
		return refusal("write etcd://, without the s, in the URL, or the port at which it speaks TLS", "%w", err)
	case said == "":
		return nil
	case s.tls != nil && len(s.tls.Certificates) == 0 && (strings.Contains(said, "certificate") || strings.Contains(said, "handshake failure")):
		return refusal("put one that its authority has signed into ETCDCTL_CERT and ETCDCTL_KEY, or into the URL: ?cert=FILE&key=FILE",
			"it wants a certificate from its clients, and got none: %s", said)
	case strings.Contains(said, "certificate"):
		return refusal("openssl x509 -noout -issuer -dates -in FILE; its authority (--trusted-ca-file) must have signed it", "it does not take the certificate of ?cert=: %s", said)
	case strings.Contains(said, "protocol version"):
		return refusal("it has to speak TLS 1.2 or later", "it speaks another version of TLS: %s", said)
	}
	return refusal("its log says more", "TLS: %s", said)
}

// names are those that a certificate is for.
func names(c *x509.Certificate) string {
	all := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		return "nobody"
	}
	return strings.Join(all, ", ")
}

// alert is what the other side says is wrong with TLS, "" if it says nothing of it.
// Alerts have no type that others may use.
func alert(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		return op.Err.Error()
	}
	return ""
}

// diagnoseWithin is how long one member is looked at that has never answered.
const diagnoseWithin = attemptTimeout / 4

// whyNeverAnswered is why a cluster does not answer that never has: more likely than an outage is
// that the URL is wrong. gRPC tells of TLS most often only that a connection is over, and
// nothing of one that is not taken.
func (s *Store) whyNeverAnswered(err error) error {
	var first error
	for _, e := range s.endpoints {
		_, host, _ := strings.Cut(e, "://")
		switch found := s.diagnose(host); {
		case s.ofTLS(found) != nil:
			return s.ofTLS(found)
		case first == nil:
			first = found
		}
	}
	if op := (*net.OpError)(nil); errors.As(first, &op) {
		first = op.Err
	}
	if first == nil && errors.Is(err, errNoAnswer) {
		first = fmt.Errorf("it takes connections, but %w: no majority of the members may be up", errNoAnswer)
	}
	if first == nil {
		first = err
	}
	return &lease.UnreachableError{Store: s.name, Err: first}
}

// diagnose connects to a member as the client does, and tells what is wrong with it. No
// password is sent, and nothing that the member would keep.
func (s *Store) diagnose(host string) error {
	ctx, cancel := context.WithTimeout(s.client.Ctx(), diagnoseWithin)
	defer cancel()
	if s.tls == nil {
		// Whose certificate it is does not matter: nothing is told.
		c, err := handshake(ctx, host, &tls.Config{InsecureSkipVerify: true})
		if err == nil {
			c.Close()
		}
		if err == nil || alert(err) != "" {
			return errWantsTLS
		}
		if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "dial" {
			return err
		}
		return nil
	}
	c, err := handshake(ctx, host, s.tls)
	if err != nil {
		if s.ofTLS(err) == nil && answersPlainly(host) {
			return errNoTLS
		}
		return err
	}
	defer c.Close()
	// That it wants a certificate of ours it says only after the handshake.
	if _, err = c.Read(make([]byte, 1)); alert(err) != "" {
		return err
	}
	return nil
}

// handshake connects. The connection ends with the time of ctx.
func handshake(ctx context.Context, host string, cfg *tls.Config) (net.Conn, error) {
	c, err := (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", host)
	if end, set := ctx.Deadline(); err == nil && set {
		_ = c.SetDeadline(end)
	}
	return c, err
}

// answersPlainly reports whether a member does without TLS what it is asked for. One with
// TLS says that it does not.
func answersPlainly(host string) bool {
	c, err := net.DialTimeout("tcp", host, diagnoseWithin)
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(diagnoseWithin))
	if _, err := io.WriteString(c, "GET /version HTTP/1.0\r\n\r\n"); err != nil {
		return false
	}
	first := make([]byte, len("HTTP/1.0 200"))
	_, err = io.ReadFull(c, first)
	return err == nil && strings.HasSuffix(string(first), " 200")
}
