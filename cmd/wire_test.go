//go:build unix

package cmd

import (
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdWire is a command of TestRemoteScripts:
//
//	wire          put a wire before the store; from now on $BERTH_STORE leads through it,
//	              and $wire_ADDR is its HOST:PORT
//	wire reset N  it resets the next N connections once something has come
//	wire cut      nothing listens there any more, and its connections are over
//	wire mend     the store can be reached again
func cmdWire(ts *testscript.TestScript, neg bool, args []string) {
	r := remoteOf(ts)
	what := strings.Join(args, " ")
	n, reset := strings.CutPrefix(what, "reset ")
	switch {
	case neg:
		ts.Fatalf("usage: wire [reset N | cut | mend]")
	case what == "":
		r.wire = newWire(r.TB, r.servers["store"].Addr)
		ts.Setenv("BERTH_STORE", r.kind+"://"+r.wire.addr)
		ts.Setenv("wire_ADDR", r.wire.addr)
	case reset:
		n, err := strconv.Atoi(n)
		ts.Check(err)
		r.wire.mu.Lock()
		defer r.wire.mu.Unlock()
		r.wire.resets = n
	case what == "cut":
		r.wire.cut()
	case what == "mend":
		ts.Check(r.wire.listen())
	default:
		ts.Fatalf("a wire cannot %s", what)
	}
}

// wire passes connections on to a server, and does to them what networks do.
type wire struct {
	addr, target string

	mu     sync.Mutex
	l      net.Listener // nil: cut
	conns  map[net.Conn]bool
	resets int
}

func newWire(t testing.TB, target string) *wire {
	w := &wire{addr: "127.0.0.1:0", target: target, conns: map[net.Conn]bool{}}
	if err := w.listen(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.cut)
	return w
}

func (w *wire) listen() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	l, err := net.Listen("tcp", w.addr)
	if err != nil {
		return err
	}
	w.l, w.addr = l, l.Addr().String()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go w.serve(c)
		}
	}()
	return nil
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.l != nil {
		w.l.Close()
		w.l = nil
	}
	for c := range w.conns {
		c.Close()
	}
}

// add reports whether there is a wire for c.
func (w *wire) add(c net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns[c] = true
	return w.l != nil
}

func (w *wire) serve(near net.Conn) {
	defer near.Close()
	first := make([]byte, 4<<10)
	if !w.add(near) {
		return
	}
	n, err := near.Read(first)
	if err != nil {
		return
	}
	w.mu.Lock()
	reset := w.resets > 0
	if reset {
		w.resets--
	}
	w.mu.Unlock()
	if reset {
		_ = near.(*net.TCPConn).SetLinger(0) // with what has not been read it ends by RST
		return
	}
	far, err := net.DialTimeout("tcp", w.target, 10*time.Second)
	if err != nil {
		return
	}
	defer far.Close()
	if !w.add(far) {
		return
	}
	go func() {
		defer far.Close()
		if _, err := far.Write(first[:n]); err == nil {
			_, _ = io.Copy(far, near)
		}
	}()
	_, _ = io.Copy(near, far)
}
