package client

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"time"
)

// Kind is a kind of server, and how to recognise one.
type Kind struct {
	Name     string
	Greeting string // a request in plain text
	// Recognise judges the first line of an answer to Greeting, or what came of it.
	Recognise func(line string) Identity
	Hints     Hints
}

// Identity says what is known of a server from its answer.
type Identity int

const (
	Unclear Identity = iota
	Same             // it is of this kind, without TLS
	Other            // it is of no such kind
)

// probeFor bounds each of the two connections that a probe makes.
const probeFor = 500 * time.Millisecond

// Probe looks for the reason why nothing at host has ever answered as a server of this kind
// should: a client whose use of TLS is wrong often learns no more than that its connection
// is closed. It returns what it found, or the zero Fault. It sends no password, and nothing
// that a server would keep. c is the client's configuration of TLS, nil without.
func (k *Kind) Probe(ctx context.Context, host string, c *tls.Config) Fault {
	err := k.examine(ctx, host, c)
	if f, ok := k.TLS(c, err); ok {
		return f
	}
	switch {
	case errors.Is(err, errOther):
		return k.Other()
	case errors.Is(err, errCloses):
		return Fault{Err: errCloses, Hint: "something other than " + k.Name + " may listen there, or a proxy whose " + k.Name + " is down; --store or BERTH_STORE names the server", Passes: true}
	case isDial(err):
		return Network(err)
	}
	return Fault{}
}

var (
	errOther   = errors.New("it is of another kind")
	errUnclear = errors.New("it may be of any kind")
	errCloses  = errors.New("it takes the connection and closes it without an answer")
)

// Other says that what answers is no server of this kind.
func (k *Kind) Other() Fault {
	return Fault{Err: errors.New("what answers there is no " + k.Name), Hint: "is that the port of " + k.Name + "? --store or BERTH_STORE names the server"}
}

func (k *Kind) examine(ctx context.Context, host string, c *tls.Config) error {
	if c == nil {
		return k.examinePlain(ctx, host)
	}
	conn, err := handshake(ctx, host, c)
	if _, known := k.TLS(c, err); err != nil && !known && !isDial(err) {
		switch plain := k.greet(ctx, host); {
		case plain == nil:
			return errNoTLS
		case errors.Is(plain, errOther), errors.Is(plain, errCloses):
			return plain
		}
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	// That it wants a certificate of ours it says only after the handshake.
	_, err = conn.Read(make([]byte, 1))
	return err
}

// examinePlain tries both at once: a server without TLS may say nothing to a handshake.
func (k *Kind) examinePlain(ctx context.Context, host string) error {
	greeted := make(chan error, 1)
	go func() { greeted <- k.greet(ctx, host) }()
	// The certificate does not matter: nothing is sent.
	conn, err := handshake(ctx, host, &tls.Config{InsecureSkipVerify: true})
	if err == nil {
		conn.Close()
	}
	switch {
	case err == nil || alert(err) != "":
		return errWantsTLS
	case isDial(err):
		return err
	}
	return <-greeted
}

// handshake connects with TLS.
func handshake(ctx context.Context, host string, c *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, probeFor)
	defer cancel()
	conn, err := (&tls.Dialer{Config: c}).DialContext(ctx, "tcp", host)
	if err == nil {
		_ = conn.SetDeadline(time.Now().Add(probeFor))
	}
	return conn, err
}

// greet speaks to a server without TLS. It returns nil if that is of this kind, errOther if
// it is not, and errCloses if it says nothing and closes.
func (k *Kind) greet(ctx context.Context, host string) error {
	ctx, cancel := context.WithTimeout(ctx, probeFor)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", host)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(probeFor))
	_, err = io.WriteString(conn, k.Greeting)
	if err != nil {
		return err
	}
	line, err := bufio.NewReader(io.LimitReader(conn, 100)).ReadString('\n')
	switch {
	case strings.HasPrefix(line, "\x15"): // an alert of TLS
		return errUnclear
	case line != "" && k.Recognise(line) == Same:
		return nil
	case line != "" && k.Recognise(line) == Other:
		return errOther
	case line == "" && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)):
		return errCloses
	}
	return errUnclear
}
