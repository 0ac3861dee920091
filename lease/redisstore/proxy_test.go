package redisstore_test

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// A proxy stands between a client and a server, and can do to the connection what
// networks do. What it does with a piece that comes in is asked for each piece.
type proxy struct {
	addr string

	mu     sync.Mutex
	target string // "": nobody is let in
	pairs  map[*pair]bool
	reply  func() fate // of the next piece of an answer; nil: pass
	delay  time.Duration
	hold   bool     // keep what clients ask
	gone   fate     // of the connection then
	held   [][]byte // and this was kept
}

// fate is what becomes of a piece.
type fate int

const (
	pass fate = iota
	// cut drops it, and the connection with it: what it answers has been done.
	cut
	// swallow drops it and all that comes later, both ways; the connection stays.
	swallow
)

// pair is one connection of a client, and ours to the server.
type pair struct {
	near, far net.Conn
	deaf      bool
}

func newProxy(t testing.TB, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: l.Addr().String(), target: target, pairs: map[*pair]bool{}}
	t.Cleanup(func() {
		l.Close()
		p.turnTo("")
	})
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(near)
		}
	}()
	return p
}

func (p *proxy) serve(near net.Conn) {
	defer near.Close()
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	if target == "" {
		return
	}
	far, err := net.DialTimeout("tcp", target, deadline)
	if err != nil {
		return
	}
	defer far.Close()
	c := &pair{near: near, far: far}
	p.mu.Lock()
	p.pairs[c] = true
	moved := p.target != target
	p.mu.Unlock()
	if !moved {
		go p.copy(c, near, far, p.fateOfRequest)
		p.copy(c, far, near, func([]byte) fate { return p.fateOfReply() })
	}
	p.mu.Lock()
	delete(p.pairs, c)
	p.mu.Unlock()
}

func (p *proxy) fateOfRequest(piece []byte) fate {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.hold || !bytes.Contains(piece, []byte("evalsha")) { // a connection opens with other words
		return pass
	}
	p.held = append(p.held, bytes.Clone(piece))
	return p.gone
}

// keep has the steps of clients wait on the way, until deliver, while their connections are
// silent or cut; new requests pass when pass is said again.
func (p *proxy) keep(gone fate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hold, p.gone = gone != pass, gone
}

// deliver brings what was kept to the server, and returns when that has done it.
func (p *proxy) deliver(t testing.TB) {
	t.Helper()
	p.mu.Lock()
	target, held := p.target, p.held
	p.held = nil
	p.mu.Unlock()
	if len(held) == 0 {
		t.Fatal("nothing was kept")
	}
	c, err := net.Dial("tcp", target)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(append(bytes.Join(held, nil), "*1\r\n$4\r\nQUIT\r\n"...)); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(deadline))
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Fatal(err)
	}
}

func (p *proxy) fateOfReply() fate {
	p.mu.Lock()
	delay := p.delay
	p.mu.Unlock()
	time.Sleep(delay)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reply == nil {
		return pass
	}
	return p.reply()
}

func (p *proxy) copy(c *pair, from, to net.Conn, next func([]byte) fate) {
	defer from.Close()
	defer to.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		f := next(buf[:n])
		p.mu.Lock()
		c.deaf = c.deaf || f == swallow
		deaf := c.deaf
		p.mu.Unlock()
		switch {
		case deaf:
			continue
		case f == cut:
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// turnTo ends all connections, and leads new ones to another server.
func (p *proxy) turnTo(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
	for c := range p.pairs {
		c.near.Close()
		c.far.Close()
	}
}

// deafen makes the connections that there are half-open. New ones work.
func (p *proxy) deafen() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.pairs {
		c.deaf = true
	}
}

// replies says what becomes of each piece of an answer from now on.
func (p *proxy) replies(next func() fate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reply = next
}

// once cuts the connection at the next piece of an answer, and at no other. It
// returns whether that has come.
func (p *proxy) once(f fate) (happened func() bool) {
	done := false
	p.replies(func() fate {
		if done {
			return pass
		}
		done = true
		return f
	})
	return func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return done
	}
}

// late holds each piece of an answer up.
func (p *proxy) late(by time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = by
}
