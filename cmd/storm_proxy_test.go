//go:build linux

package cmd

import (
	"bytes"
	"errors"
	"io"
	"net"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"
)

// stormProxy stands between the runs of a storm and a Redis, and does to their
// connections what networks do: it holds back what they send and delivers it when they
// have given up, loses it without a word, and breaks connections. Meanwhile the other
// connections go on.
type stormProxy struct {
	addr, target string
	noted        func(stormOutage) (over func()) // an outage has begun; one without an end gets it by over

	mu     sync.Mutex
	open   map[*stormPair]bool
	opened int
	runs   map[string]string          // the run of a lease or place, by its id
	strike func(*stormPair) stormFate // of the next piece; nil: it passes
}

// stormFate is what becomes of a piece and its connection.
type stormFate struct {
	late       time.Duration // it is delivered so much later
	deaf, mute bool          // it is lost, or its answer, and all that comes later
	reset      bool          // the connection is broken
	lost       bool          // and the piece has not arrived
}

// stormPair is a connection of a run, and ours to the server.
type stormPair struct {
	near, far *net.TCPConn
	number    int
	pieces    chan stormPiece

	// guarded by the proxy's mu
	run        string // "": not known yet, and nothing happens to it till then
	until      time.Time
	deaf, mute bool
	over       func() // of being deaf or mute; nil: nobody has met that yet
}

type stormPiece struct {
	data []byte
	due  time.Time
}

func newStormProxy(t testing.TB, target string, noted func(stormOutage) func()) *stormProxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &stormProxy{addr: l.Addr().String(), target: target, noted: noted, open: map[*stormPair]bool{}, runs: map[string]string{}}
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

func (p *stormProxy) serve(near *net.TCPConn) {
	defer near.Close()
	far, err := net.DialTimeout("tcp", p.target, time.Second)
	if err != nil {
		return // as if nobody were there
	}
	c := &stormPair{near: near, far: far.(*net.TCPConn), pieces: make(chan stormPiece, 1000)}
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
func (p *stormProxy) take(c *stormPair) {
	defer close(c.pieces)
	buf := make([]byte, 64<<10)
	for {
		n, err := c.near.Read(buf)
		if err != nil {
			return
		}
		if due, deaf := p.fate(c, buf[:n]); !deaf {
			c.pieces <- stormPiece{bytes.Clone(buf[:n]), due}
		}
	}
}

// fate is when a piece is due, and that it is lost.
func (p *stormProxy) fate(c *stormPair, piece []byte) (due time.Time, lost bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.know(c, piece)
	var f stormFate
	if p.strike != nil && c.run != "" {
		f = p.strike(c)
	}
	if now := time.Now(); f.late > 0 && now.After(c.until) {
		c.until = now.Add(f.late)
		at := monotonic()
		p.noted(stormOutage{what: "late", from: at, to: at + int64(f.late), run: c.run})
	}
	if f.reset {
		p.breaks(c)
	}
	c.deaf, c.mute = c.deaf || f.deaf, c.mute || f.mute
	p.meets(c)
	return c.until, c.deaf || f.lost
}

// breaks ends a connection as a reset does. The caller has locked p.mu.
func (p *stormProxy) breaks(c *stormPair) {
	at := monotonic()
	p.noted(stormOutage{what: "reset", from: at, to: at, run: c.run})
	_ = c.near.SetLinger(0)
	c.near.Close()
}

// meets notes that a run has met a connection that is half open. The caller has locked
// p.mu.
func (p *stormProxy) meets(c *stormPair) {
	if (c.deaf || c.mute) && c.over == nil {
		c.over = p.noted(stormOutage{what: "deaf", from: monotonic(), to: never, run: c.run})
	}
}

var (
	stormLabel = regexp.MustCompile(`"run":"([^"]+)"`)
	stormID    = regexp.MustCompile(`[a-z]+/[0-9a-f]{12}`)
)

// know finds out whose connection it is: what asks for slots carries the run's label,
// all else the id that came with it. The caller has locked p.mu.
func (p *stormProxy) know(c *stormPair, piece []byte) {
	id := string(stormID.Find(piece))
	if label := stormLabel.FindSubmatch(piece); label != nil && id != "" {
		p.runs[id] = string(label[1])
	}
	if run := p.runs[id]; run != "" {
		c.run = run
	}
}

// runOf is the run that has a lease or place, "" when that is not known.
func (p *stormProxy) runOf(id string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.runs[id]
}

// deliver sends on what is due, also when the run has long gone: then it lets the
// server see to it before it hangs up.
func (c *stormPair) deliver() {
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
func (p *stormProxy) answer(c *stormPair) {
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
			_, _ = c.near.Write(buf[:n]) // nobody may be there: what is on its way goes on
		}
	}
}

// strikes has a fate for each piece that comes in this time.
func (p *stormProxy) strikes(within time.Duration, strike func(*stormPair) stormFate) {
	p.struck(strike)
	time.Sleep(within)
	p.struck(nil)
}

func (p *stormProxy) struck(by func(*stormPair) stormFate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.strike = by
}

// halfOpen loses what comes over some connections from now on, both ways or only the
// answers.
func (p *stormProxy) halfOpen(which func(*stormPair) (deaf, mute bool)) {
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
func (p *stormProxy) reset(which func(*stormPair) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		if c.run != "" && which(c) {
			p.breaks(c)
			c.far.Close()
		}
	}
}

// TestStormProxy: a piece that is held back arrives after its sender has hung up, those
// of others do not wait for it, and whose piece it was is known.
func TestStormProxy(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	got := make(chan string, 10)
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for buf := make([]byte, 1000); ; {
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					got <- string(buf[:n])
					_, _ = c.Write([]byte("answer"))
				}
			}()
		}
	}()
	noted := make(chan stormOutage, 10)
	over := make(chan bool, 10)
	p := newStormProxy(t, server.Addr().String(), func(o stormOutage) func() {
		noted <- o
		return func() { over <- true }
	})
	send := func(c net.Conn, text string) {
		t.Helper()
		if _, err := c.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		return c
	}
	took := func(want string) {
		t.Helper()
		select {
		case text := <-got:
			if text != want {
				t.Errorf("the server got %q, not %q", text, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("the server did not get %q", want)
		}
	}
	told := func(what, run string) {
		t.Helper()
		if o := <-noted; o.what != what || o.run != run {
			t.Errorf("noted %+v, want %s of run %q", o, what, run)
		}
	}
	a, b := dial(), dial()
	send(a, `few/0123456789ab {"run":"7"}`)
	took(`few/0123456789ab {"run":"7"}`)
	send(b, "renew few/0123456789ab")
	took("renew few/0123456789ab")

	p.struck(func(c *stormPair) (f stormFate) {
		if c.near.RemoteAddr().String() == a.LocalAddr().String() {
			f.late = 2 * time.Second
		}
		return f
	})
	send(a, "late")
	told("late", "7")
	a.Close()
	send(b, "not late")
	took("not late")
	took("late")

	p.halfOpen(func(*stormPair) (deaf, mute bool) { return false, true })
	_, _ = b.Read(make([]byte, 100)) // the answers so far
	send(b, "mute")
	took("mute")
	told("deaf", "7")
	p.halfOpen(func(*stormPair) (deaf, mute bool) { return true, false })
	send(b, "deaf")
	c := dial()
	send(c, "of nobody")
	took("of nobody")
	p.reset(func(*stormPair) bool { return true })
	told("reset", "7") // b, and not c
	<-over
	send(c, "few/0123456789ab")
	took("few/0123456789ab")
	p.reset(func(*stormPair) bool { return true })
	told("reset", "7")
	if _, err := io.Copy(io.Discard, c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a connection that was reset ends with %v", err)
	}
}
