package engine

import (
	"bytes"
	"io"
	"net"
	"sync"
	"time"
)

// Proxy stands between a client and a server, and can do to their connections what
// networks do.
type Proxy struct {
	Addr string

	mu     sync.Mutex
	target string // "": no connection is let in
	pairs  map[*pair]bool
	reply  func() Fate // of the next piece of an answer; nil: pass
	delay  time.Duration
	hold   []byte   // requests with this in them are held back; nil: none
	gone   Fate     // what becomes of the connection then
	held   [][]byte // those that were

	next sync.Mutex // reply is called for one piece at a time
}

// Fate is what becomes of a piece of what passes.
type Fate int

const (
	Pass Fate = iota
	// Cut drops it, and the connection with it: what it answers has been done.
	Cut
	// Swallow drops it and all that comes later, both ways; the connection stays.
	Swallow
)

// pair is one connection of a client, and ours to the server.
type pair struct {
	near, far net.Conn
	deaf      bool
}

// NewProxy listens on a port of its own and leads to target, until the test is over.
func NewProxy(t T, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("%v", err)
	}
	p := &Proxy{Addr: l.Addr().String(), target: target, pairs: map[*pair]bool{}}
	t.Cleanup(func() {
		l.Close()
		p.TurnTo("")
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

func (p *Proxy) serve(near net.Conn) {
	defer near.Close()
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	if target == "" {
		return
	}
	far, err := net.DialTimeout("tcp", target, Deadline)
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
		p.copy(c, far, near, func([]byte) Fate { return p.fateOfReply() })
	}
	p.mu.Lock()
	delete(p.pairs, c)
	p.mu.Unlock()
}

func (p *Proxy) fateOfRequest(piece []byte) Fate {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hold == nil || !bytes.Contains(piece, p.hold) {
		return Pass
	}
	p.held = append(p.held, bytes.Clone(piece))
	return p.gone
}

// HoldBack has requests with this in them wait on the way, until Deliver, while their
// connections are silent or cut. A connection opens with other words, which pass.
func (p *Proxy) HoldBack(request string, gone Fate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hold, p.gone = []byte(request), gone
}

// LetThrough holds back no more. What was held back stays so.
func (p *Proxy) LetThrough() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hold = nil
}

// KeepFirst loses what was held back, but for the first.
func (p *Proxy) KeepFirst() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = p.held[:1]
}

// Deliver brings what was held back to the server, with a farewell that has it close the
// connection, and returns when the server has done all that.
func (p *Proxy) Deliver(t T, farewell string) {
	t.Helper()
	p.mu.Lock()
	target, held := p.target, p.held
	p.held = nil
	p.mu.Unlock()
	if len(held) == 0 {
		t.Fatalf("nothing was held back")
	}
	c, err := net.Dial("tcp", target)
	if err != nil {
		t.Fatalf("%v", err)
	}
	defer c.Close()
	if _, err := c.Write(append(bytes.Join(held, nil), farewell...)); err != nil {
		t.Fatalf("%v", err)
	}
	_ = c.SetReadDeadline(time.Now().Add(Deadline))
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Fatalf("%v", err)
	}
}

func (p *Proxy) fateOfReply() Fate {
	p.mu.Lock()
	delay := p.delay
	p.mu.Unlock()
	time.Sleep(delay)
	p.mu.Lock()
	reply := p.reply
	p.mu.Unlock()
	if reply == nil {
		return Pass
	}
	p.next.Lock()
	defer p.next.Unlock()
	return reply()
}

func (p *Proxy) copy(c *pair, from, to net.Conn, next func([]byte) Fate) {
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
		c.deaf = c.deaf || f == Swallow
		deaf := c.deaf
		p.mu.Unlock()
		switch {
		case deaf:
			continue
		case f == Cut:
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// TurnTo ends all connections, and leads new ones to another server; "" lets none in.
func (p *Proxy) TurnTo(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
	for c := range p.pairs {
		c.near.Close()
		c.far.Close()
	}
}

// Deafen makes the connections that there are half-open. New ones work.
func (p *Proxy) Deafen() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.pairs {
		c.deaf = true
	}
}

// Replies has next say what becomes of each piece of an answer from now on, one at a
// time; nil: all pass.
func (p *Proxy) Replies(next func() Fate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reply = next
}

// Once has the next piece of an answer meet f, and no other. It returns whether that has
// come.
func (p *Proxy) Once(f Fate) (happened func() bool) {
	done := false
	p.Replies(func() Fate {
		if done {
			return Pass
		}
		done = true
		return f
	})
	return func() bool {
		p.next.Lock()
		defer p.next.Unlock()
		return done
	}
}

// Late delays each piece of an answer.
func (p *Proxy) Late(by time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = by
}
