package redisstore

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
)

var (
	errWantsTLS = errors.New("it speaks TLS, and is spoken to without")
	errNoTLS    = errors.New("it does not speak TLS")
)

// ofTLS is about a connection that TLS did not let be; false: it is about something else.
// None of it passes by itself.
func (a *address) ofTLS(err error) (fault, bool) {
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		record  tls.RecordHeaderError
	)
	refusal := func(hint, format string, args ...any) (fault, bool) {
		return fault{err: fmt.Errorf(format, args...), hint: hint}, true
	}
	said := alert(err)
	switch {
	case errors.As(err, &unknown):
		return refusal("put the file of the authority's certificate into the URL: rediss://HOST:PORT?cacert=FILE", "nobody known here has signed its certificate: %w", unknown)
	case errors.As(err, &name):
		return refusal("connect by a name that is in its certificate", "its certificate is for %s, and not for %s", names(name.Certificate), name.Host)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		c := invalid.Cert
		return refusal("date shows this machine's clock; if that is right, the server needs a new certificate",
			"its certificate is valid from %s to %s only", c.NotBefore.UTC().Format(time.RFC3339), c.NotAfter.UTC().Format(time.RFC3339))
	case errors.As(err, &invalid):
		return refusal("the server needs another certificate", "its certificate is not valid: %w", invalid)
	case errors.Is(err, errWantsTLS):
		return refusal("write rediss://, with a second s, in the URL (rediss+sentinel:// for Sentinels)", "%w", err)
	case errors.Is(err, errNoTLS), errors.As(err, &record):
		return refusal("write redis:// in the URL, with one s (redis+sentinel:// for Sentinels), or the port at which it speaks TLS (tls-port)", "%w", errNoTLS)
	case said == "":
		return fault{}, false
	case a.tls != nil && len(a.tls.Certificates) == 0 && (strings.Contains(said, "certificate") || strings.Contains(said, "handshake failure")):
		return refusal("put one that its authority has signed into the URL: ?cert=FILE&key=FILE", "it wants a certificate from its clients, and got none: %s", said)
	case strings.Contains(said, "certificate"):
		return refusal("openssl x509 -noout -issuer -dates -in FILE; its authority (tls-ca-cert-file) must have signed it", "it does not take the certificate of ?cert=: %s", said)
	case strings.Contains(said, "protocol version"):
		return refusal("it has to speak TLS 1.2 or later (tls-protocols)", "it speaks another version of TLS: %s", said)
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

// knockWithin is how long it is looked who listens at an address that has never answered.
const knockWithin = 500 * time.Millisecond

// named looks whether a server that has never answered as it should was named wrongly:
// it is there, and wants to be spoken to with TLS, or without, or with a certificate.
// Who is refused that way most often learns no more than that the connection is over.
func (a *address) named(f fault) fault {
	if a.network != "tcp" || settled(f.err) {
		return f
	}
	ctx, cancel := context.WithTimeout(context.Background(), knockWithin)
	defer cancel()
	if better, ok := a.ofTLS(a.knock(ctx, a.hosts[0])); ok {
		return better
	}
	return f
}

// knock says what TLS has to do with it that a server is not to be spoken to, nil if
// nothing. No password is sent, and nothing that the server would keep.
func (a *address) knock(ctx context.Context, host string) error {
	if a.tls == nil {
		// Whose certificate it is does not matter: nothing is told.
		c, err := handshake(ctx, host, &tls.Config{InsecureSkipVerify: true})
		if err == nil {
			c.Close()
		}
		if err == nil || alert(err) != "" {
			return errWantsTLS
		}
		return nil
	}
	c, err := handshake(ctx, host, a.tls)
	if err != nil {
		if _, known := a.ofTLS(err); !known && answersPlainly(host) {
			return errNoTLS
		}
		return err
	}
	defer c.Close()
	// That it wants a certificate it says only after the handshake.
	_, err = c.Read(make([]byte, 1))
	return err
}

// handshake connects. The connection ends with the time of ctx.
func handshake(ctx context.Context, host string, cfg *tls.Config) (net.Conn, error) {
	c, err := (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", host)
	if end, set := ctx.Deadline(); err == nil && set {
		_ = c.SetDeadline(end)
	}
	return c, err
}

// answersPlainly reports whether a server says anything without TLS. Most say at least
// that they know nobody.
func answersPlainly(host string) bool {
	c, err := net.DialTimeout("tcp", host, knockWithin)
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(knockWithin))
	if _, err := io.WriteString(c, "PING\r\n"); err != nil {
		return false
	}
	first := make([]byte, 1)
	_, err = c.Read(first)
	return err == nil && (first[0] == '+' || first[0] == '-')
}
