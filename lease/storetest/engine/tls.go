package engine

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// TLS is what a server shows, and what it asks of its clients.
type TLS struct {
	Pair
	CA      string // the file of the authority whose clients it accepts
	Clients bool   // it takes no client without a certificate
}

// Pair is the files of a certificate and of its key.
type Pair struct{ Cert, Key string }

// Authority signs certificates for one test. No other program trusts it.
type Authority struct {
	CA string // the file of its own certificate

	t    T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes one, in a directory of its own.
func NewAuthority(t T) *Authority {
	t.Helper()
	return NewAuthorityIn(t, t.TempDir())
}

// NewAuthorityIn makes one whose files are in dir.
func NewAuthorityIn(t T, dir string) *Authority {
	t.Helper()
	a := &Authority{CA: filepath.Join(dir, "ca.pem"), t: t}
	own := template("berth's tests")
	own.IsCA, own.BasicConstraintsValid, own.KeyUsage = true, true, x509.KeyUsageCertSign
	a.key = a.newKey()
	a.cert = a.sign(own, own, a.key, a.key, a.CA)
	return a
}

// Server is a certificate for 127.0.0.1.
func (a *Authority) Server() Pair {
	a.t.Helper()
	return a.Issue("server", func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.ParseIP(host)} })
}

// Issue makes a certificate for servers and clients, in files that have that name.
func (a *Authority) Issue(name string, change func(*x509.Certificate)) Pair {
	a.t.Helper()
	c := template(name)
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	if change != nil {
		change(c)
	}
	dir := filepath.Dir(a.CA)
	p := Pair{filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")}
	key := a.newKey()
	a.sign(c, a.cert, key, a.key, p.Cert)
	der, err := x509.MarshalECPrivateKey(key)
	a.write(p.Key, "EC PRIVATE KEY", der, err)
	return p
}

func template(name string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
}

func (a *Authority) newKey() *ecdsa.PrivateKey {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatalf("%v", err)
	}
	return key
}

func (a *Authority) sign(c, by *x509.Certificate, key, with *ecdsa.PrivateKey, file string) *x509.Certificate {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, by, &key.PublicKey, with)
	a.write(file, "CERTIFICATE", der, err)
	signed, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatalf("%v", err)
	}
	return signed
}

func (a *Authority) write(file, kind string, der []byte, err error) {
	a.t.Helper()
	if err == nil {
		err = os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
	}
	if err != nil {
		a.t.Fatalf("%v", err)
	}
}

// args has a Redis listen for TLS only.
func (s *TLS) args(port string) []string {
	if s == nil {
		return []string{"--port", port}
	}
	clients := "no"
	if s.Clients {
		clients = "yes"
	}
	return []string{
		"--port", "0", "--tls-port", port, "--tls-cert-file", s.Cert, "--tls-key-file", s.Key,
		"--tls-ca-cert-file", s.CA, "--tls-auth-clients", clients,
	}
}

// etcd has an etcd listen for TLS only.
func (s *TLS) etcd() []string {
	if s == nil {
		return nil
	}
	args := []string{"--cert-file", s.Cert, "--key-file", s.Key}
	if s.Clients {
		args = append(args, "--client-cert-auth", "--trusted-ca-file", s.CA)
	}
	return args
}

// client speaks HTTP as dial speaks.
func (s *TLS) client() (*http.Client, error) {
	if s == nil {
		return plain, nil
	}
	own, err := tls.LoadX509KeyPair(s.Cert, s.Key)
	if err != nil {
		return nil, err
	}
	return &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{own}},
	}}, nil
}

// dial connects as one that needs no proof of what answers: that is asked of the server
// itself, by its pid.
func (s *TLS) dial(addr string) (net.Conn, error) {
	if s == nil {
		return net.DialTimeout("tcp", addr, patience)
	}
	own, err := tls.LoadX509KeyPair(s.Cert, s.Key)
	if err != nil {
		return nil, err
	}
	return tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", addr,
		&tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{own}})
}
