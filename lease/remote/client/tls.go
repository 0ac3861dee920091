package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"
)

// Config makes the configuration of TLS from the settings of a URL: cacert, cert, key and
// insecure-skip-tls-verify. setting returns "" for one that is not given.
func Config(setting func(name string) string) (*tls.Config, error) {
	// A server is verified by the name in its own address.
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	switch skip := setting("insecure-skip-tls-verify"); skip {
	case "", "false", "0":
	case "true", "1":
		c.InsecureSkipVerify = true
	default:
		return nil, fmt.Errorf("insecure-skip-tls-verify=%s is neither true nor false", skip)
	}
	if ca := setting("cacert"); ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("cannot read cacert: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("cannot read cacert: %s contains no certificate", ca)
		}
	}
	cert, key := setting("cert"), setting("key")
	if (cert == "") != (key == "") {
		return nil, errors.New("cert and key belong together, and one of them is missing")
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("cannot read cert and key: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// Hints are what to do about TLS, where that differs from one kind of server to another.
type Hints struct {
	UseTLS, NoTLS string // how the URL has to begin
	CACert, Cert  string // how to name the authority's certificate, and one's own
	CAOption      string // the server's setting that names the authority of its clients
}

var (
	errWantsTLS = errors.New("it speaks TLS, and the URL does not say so")
	errNoTLS    = errors.New("it does not speak TLS")
)

// TLS explains an error of TLS; false: err is about something else. No such fault passes by
// itself. c is the client's configuration, nil without TLS.
func (k *Kind) TLS(c *tls.Config, err error) (Fault, bool) {
	if f := k.certificate(err); f.Err != nil {
		return f, true
	}
	var record tls.RecordHeaderError
	switch said := alert(err); {
	case errors.Is(err, errWantsTLS):
		return Fault{Err: errWantsTLS, Hint: k.Hints.UseTLS}, true
	case errors.Is(err, errNoTLS), errors.As(err, &record):
		return Fault{Err: errNoTLS, Hint: k.Hints.NoTLS}, true
	case said == "":
		return Fault{}, false
	case c != nil && len(c.Certificates) == 0 && (strings.Contains(said, "certificate") || strings.Contains(said, "handshake failure")):
		return Fault{Err: fmt.Errorf("it requires a certificate of its clients, and the URL names none: %s", said), Hint: k.Hints.Cert}, true
	case strings.Contains(said, "certificate"):
		return Fault{Err: fmt.Errorf("it does not accept the certificate of ?cert=: %s", said),
			Hint: "openssl x509 -noout -issuer -dates -in FILE; its authority (" + k.Hints.CAOption + ") must have signed it"}, true
	case strings.Contains(said, "protocol version"):
		return Fault{Err: fmt.Errorf("it speaks another version of TLS: %s", said), Hint: "the server has to accept TLS 1.2 or later"}, true
	default:
		return Fault{Err: fmt.Errorf("TLS: %s", said), Hint: "the log of the server says more"}, true
	}
}

// certificate explains why we do not accept the certificate of a server; the zero Fault: err
// is about something else.
func (k *Kind) certificate(err error) Fault {
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &unknown):
		return Fault{Err: fmt.Errorf("this machine does not know the authority that signed its certificate: %w", unknown), Hint: k.Hints.CACert}
	case errors.As(err, &name):
		return Fault{Err: fmt.Errorf("its certificate is for %s, not for %s", names(name.Certificate), name.Host), Hint: "connect by a name that is in its certificate"}
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		c := invalid.Cert
		return Fault{Err: fmt.Errorf("its certificate is valid only from %s to %s", c.NotBefore.UTC().Format(time.RFC3339), c.NotAfter.UTC().Format(time.RFC3339)),
			Hint: "date shows this machine's clock; if that is right, the server needs a new certificate"}
	case errors.As(err, &invalid):
		return Fault{Err: fmt.Errorf("its certificate is not valid: %w", invalid), Hint: "the server needs another certificate"}
	}
	return Fault{}
}

// names are those that a certificate is for.
func names(c *x509.Certificate) string {
	all := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		return "no host"
	}
	return strings.Join(all, ", ")
}

// alert is what the other side says is wrong with TLS, "" if it says nothing of it. Package
// tls exports no type for alerts.
func alert(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		return op.Err.Error()
	}
	return ""
}
