//go:build linux

package main

import (
	"bytes"
	"net"
	"regexp"
	"sync"
	"time"

	"berth/lease/storetest/engine"
	"berth/scripts/testbed"
)

// Proxy stands between the runs of a storm and a Redis, and does to their
// connections what networks do: it holds back what they send and delivers it when they
// have given up, loses it without a word, and breaks connections. The other
// connections go on.
type Proxy struct {
	addr, target string
	noted        func(Outage) (over func()) // an outage has begun; one without an end gets it by over

	mu     sync.Mutex
	open   map[*Pair]bool
	opened int
	runs   map[string]string // the run of a lease or place, by its id
	strike func(*Pair) Fate  // of the next piece; nil: it passes
}

// Fate is what becomes of a piece and its connection.
type Fate struct {
	late       time.Duration // it is delivered so much later
	deaf, mute bool          // it is lost, or its answer, and all that comes later
	reset      bool          // the connection is broken
	lost       bool          // and the piece has not arrived
}

// Pair is a connection of a run, and ours to the server.
type Pair struct {
	near, far *net.TCPConn
	number    int
	pieces    chan Piece

	// guarded by the proxy's mu
	run        string // "": not known yet, and nothing happens to it till then
	until      time.Time
	deaf, mute bool
	over       func() // of being deaf or mute; nil: no run has met that yet
}

type Piece struct {
	data []byte
	due  time.Time
}

func newProxy(t engine.T, target string, noted func(Outage) func()) *Proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("%v", err)
	}
	p := &Proxy{addr: l.Addr().String(), target: target, noted: noted, open: map[*Pair]bool{}, runs: map[string]string{}}
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		for c := range p.open {
			c.near.Close()
			c.far.Close()
		}
	})
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(near.(*net.TCPConn))
		}
	}()
	return p
}

func (p *Proxy) serve(near *net.TCPConn) {
	defer near.Close()
	far, err := net.DialTimeout("tcp", p.target, time.Second)
	if err != nil {
		return // as if no server were there
	}
	c := &Pair{near: near, far: far.(*net.TCPConn), pieces: make(chan Piece, 1000)}
	p.mu.Lock()
	p.opened++
	c.number = p.opened
	p.open[c] = true
	p.mu.Unlock()
	go c.deliver()
	go p.answer(c)
	p.take(c)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
	if c.over != nil {
		c.over()
	}
}

// take reads what the run sends, until that gives the connection up.
func (p *Proxy) take(c *Pair) {
	defer close(c.pieces)
	buf := make([]byte, 64<<10)
	for {
		n, err := c.near.Read(buf)
		if err != nil {
			return
		}
		if due, deaf := p.fate(c, buf[:n]); !deaf {
			c.pieces <- Piece{bytes.Clone(buf[:n]), due}
		}
	}
}

// fate is when a piece is due, and that it is lost.
func (p *Proxy) fate(c *Pair, piece []byte) (due time.Time, lost bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.know(c, piece)
	var f Fate
	if p.strike != nil && c.run != "" {
		f = p.strike(c)
	}
	if now := time.Now(); f.late > 0 && now.After(c.until) {
		c.until = now.Add(f.late)
		at := testbed.Monotonic()
		p.noted(Outage{what: "late", from: at, to: at + int64(f.late), run: c.run})
	}
	if f.reset {
		p.breaks(c)
	}
	c.deaf, c.mute = c.deaf || f.deaf, c.mute || f.mute
	p.meets(c)
	return c.until, c.deaf || f.lost
}

// breaks ends a connection as a reset does. The caller has locked p.mu.
func (p *Proxy) breaks(c *Pair) {
	at := testbed.Monotonic()
	p.noted(Outage{what: "reset", from: at, to: at, run: c.run})
	_ = c.near.SetLinger(0)
	c.near.Close()
}

// meets notes that a run has met a connection that is half open. The caller has locked
// p.mu.
func (p *Proxy) meets(c *Pair) {
	if (c.deaf || c.mute) && c.over == nil {
		c.over = p.noted(Outage{what: "deaf", from: testbed.Monotonic(), to: never, run: c.run})
	}
}

var (
	runLabel = regexp.MustCompile(`"run":"([^"]+)"`)
	leaseID  = regexp.MustCompile(`[a-z]+/[0-9a-f]{12}`)
)

// know finds out whose connection it is: what asks for slots carries the run's label,
// all else the id that came with it. The caller has locked p.mu.
func (p *Proxy) know(c *Pair, piece []byte) {
	id := string(leaseID.Find(piece))
	if label := runLabel.FindSubmatch(piece); label != nil && id != "" {
		p.runs[id] = string(label[1])
	}
	if run := p.runs[id]; run != "" {
		c.run = run
	}
}

// runOf is the run that has a lease or place, "" when that is not known.
func (p *Proxy) runOf(id string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.runs[id]
}

// deliver sends on what is due, also when the run has long gone: then it lets the
// server see to it before it hangs up.
func (c *Pair) deliver() {
	defer c.far.Close()
	for piece := range c.pieces {
		time.Sleep(time.Until(piece.due))
		if _, err := c.far.Write(piece.data); err != nil {
			c.near.Close()
			for range c.pieces { // until take has seen it
			}
			return
		}
	}
	_ = c.far.CloseWrite()
	time.Sleep(time.Second)
}

// answer brings back what the server says.
func (p *Proxy) answer(c *Pair) {
	defer c.near.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := c.far.Read(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		mute := c.deaf || c.mute
		p.meets(c)
		p.mu.Unlock()
		if !mute {
			_, _ = c.near.Write(buf[:n]) // the run may be gone: what is on its way goes on
		}
	}
}

// strikes has a fate for each piece that comes in this time.
func (p *Proxy) strikes(within time.Duration, strike func(*Pair) Fate) {
	p.struck(strike)
	time.Sleep(within)
	p.struck(nil)
}

func (p *Proxy) struck(by func(*Pair) Fate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.strike = by
}

// halfOpen loses what comes over some connections from now on, both ways or only the
// answers.
func (p *Proxy) halfOpen(which func(*Pair) (deaf, mute bool)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		if c.run != "" {
			deaf, mute := which(c)
			c.deaf, c.mute = c.deaf || deaf, c.mute || mute
		}
	}
}

// reset breaks some connections.
func (p *Proxy) reset(which func(*Pair) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		if c.run != "" && which(c) {
			p.breaks(c)
			c.far.Close()
		}
	}
}
