//go:build linux

package main

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

// TestProxy: a piece that is held back arrives after its sender has hung up, those
// of others do not wait for it, and whose piece it was is known.
func TestProxy(t *testing.T) {
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
	noted := make(chan Outage, 10)
	over := make(chan bool, 10)
	p := newProxy(t, server.Addr().String(), func(o Outage) func() {
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

	p.struck(func(c *Pair) (f Fate) {
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

	p.halfOpen(func(*Pair) (deaf, mute bool) { return false, true })
	_, _ = b.Read(make([]byte, 100)) // the answers so far
	send(b, "mute")
	took("mute")
	told("deaf", "7")
	p.halfOpen(func(*Pair) (deaf, mute bool) { return true, false })
	send(b, "deaf")
	c := dial()
	send(c, "of no run")
	took("of no run")
	p.reset(func(*Pair) bool { return true })
	told("reset", "7") // b, and not c
	<-over
	send(c, "few/0123456789ab")
	took("few/0123456789ab")
	p.reset(func(*Pair) bool { return true })
	told("reset", "7")
	if _, err := io.Copy(io.Discard, c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a connection that was reset ends with %v", err)
	}
}
