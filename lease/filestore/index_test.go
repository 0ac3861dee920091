//go:build unix

package filestore

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/storetest"
)

func lockFile(t *testing.T, s *Store) []byte {
	t.Helper()
	b, err := os.ReadFile(s.path("p", "lock"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeLock(t *testing.T, s *Store, b []byte) {
	t.Helper()
	if err := os.WriteFile(s.path("p", "lock"), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedIndex: whichever byte of it is changed, and wherever it is cut, no slot above the
// limit is granted, and every token is above the last.
func TestDamagedIndex(t *testing.T) {
	s := newStore(t)
	last := uint64(0)
	for _, limit := range []int{9, 2, 9} { // what a job requests counts while it runs
		r := storetest.Request("p", limit)
		h, v, err := s.TryAcquire(t.Context(), r)
		if err != nil || (h == nil) != (limit == 9 && last > 0 && v.Reason == lease.Full) {
			t.Fatalf("%v, %+v, %v", h, v, err)
		}
		if h != nil {
			last = h.Lease().Token
			defer giveBack(t, h)
		}
	}
	good := lockFile(t, s)
	try := func(what string, b []byte) {
		t.Helper()
		writeLock(t, s, b)
		if h, v, err := s.TryAcquire(t.Context(), storetest.Request("p", 9)); h != nil || err != nil || v.Reason != lease.Full || v.Limit != 2 {
			t.Fatalf("%s: %v, %+v, %v; want full with a limit of 2", what, h, v, err)
		}
		p, err := s.pool("p", false)
		if err != nil {
			t.Fatal(err)
		}
		defer p.close()
		err = p.locked(t.Context(), func(ix *index) error {
			if ix.token < last {
				t.Errorf("%s: the token fell from %d to %d", what, last, ix.token)
			}
			return nil
		})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	for i, c := range good {
		for _, to := range []byte("0159 \n\x00") {
			if b := bytes.Clone(good); c != to {
				b[i] = to
				try(fmt.Sprintf("byte %d is %q instead of %q", i, to, c), b)
			}
		}
		try(fmt.Sprintf("cut to %d bytes", i), good[:i])
	}
	lines := bytes.SplitAfter(good, []byte("\n"))
	try("two slots exchanged", bytes.Join([][]byte{lines[0], lines[2], lines[1]}, nil))
}

// TestTokensOfANewIndex: they continue above those of a pool that was removed, and of a pool
// whose index was lost after the clock was set back.
func TestTokensOfANewIndex(t *testing.T) {
	s := newStore(t)
	before := uint64(time.Now().UnixMicro())
	h := takeSlot(t, s, request(1, 1))
	first := h.Lease().Token
	if first < before {
		t.Errorf("the first token is %d, want at least %d", first, before)
	}
	giveBack(t, h)
	if err := os.RemoveAll(s.path("p")); err != nil {
		t.Fatal(err)
	}
	h = takeSlot(t, s, request(1, 1))
	if got := h.Lease().Token; got <= first {
		t.Errorf("token %d after %d", got, first)
	}
	giveBack(t, h)

	p, err := s.pool("p", false)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	ahead := uint64(time.Now().Add(1000 * time.Hour).UnixMicro()) // the clock was, until now
	if err := p.locked(t.Context(), func(ix *index) error { ix.token = ahead; return nil }); err != nil {
		t.Fatal(err)
	}
	giveBack(t, takeSlot(t, s, request(1, 1)))
	writeLock(t, s, nil)
	h = takeSlot(t, s, request(1, 1))
	if got := h.Lease().Token; got <= ahead+1 {
		t.Errorf("token %d after %d", got, ahead+1)
	}
	giveBack(t, h)
}

const oldIndex = "berth 2 ticket 000000000012 token 00000000000000000045 change 000000000007 line 000000 start 00000000000000000000\n"

// TestIndexOfAnOlderBerth: it is taken over when it is whole, and what its slots are
// is asked of the slots.
func TestIndexOfAnOlderBerth(t *testing.T) {
	for _, c := range []struct {
		why, index string
		token      uint64
		whole      bool
	}{
		{"whole", oldIndex + "0000000000\n", 46, true},
		{"too few slots in use", oldIndex, 46, true},
		{"damaged", strings.Replace(oldIndex, "45", "4x", 1), 0, false},
		{"cut", oldIndex + "00000000", 0, false},
	} {
		s := newStore(t)
		a := takeSlot(t, s, request(2, 1))
		writeLock(t, s, []byte(c.index))
		h := takeSlot(t, s, request(2, 1))
		if got := h.Lease().Token; c.whole && got != c.token || !c.whole && got <= a.Lease().Token {
			t.Errorf("%s: token %d", c.why, got)
		}
		if g, v, err := s.TryAcquire(t.Context(), request(2, 1)); g != nil || err != nil || v.Reason != lease.Full {
			t.Errorf("%s: %v, %+v, %v: a third one of two", c.why, g, v, err)
		}
		if b := lockFile(t, s); !bytes.HasPrefix(b, []byte("berth 3 ")) || len(b) != headerLen+2*recordLen {
			t.Errorf("%s: the index is %q", c.why, b)
		}
		giveBack(t, a)
		giveBack(t, h)
	}
}

// TestIndexOfANewerBerth is left alone.
func TestIndexOfANewerBerth(t *testing.T) {
	s := newStore(t)
	giveBack(t, takeSlot(t, s, request(1, 1)))
	text := "berth 4 something new"
	b := fmt.Appendf(nil, "%s sum %016x\nand more\n", text, hash([]byte(text)))
	writeLock(t, s, b)
	if h, _, err := s.TryAcquire(t.Context(), request(1, 1)); h != nil || err == nil || !strings.Contains(err.Error(), "it was written by a newer berth") {
		t.Errorf("%v, %v", h, err)
	}
	if got := lockFile(t, s); !bytes.Equal(got, b) {
		t.Errorf("%q was changed to %q", b, got)
	}
}

func TestSumOf(t *testing.T) {
	for _, limit := range []int{0, 1, 4, 10, 99, 100, 9100, 1234567, maxSlots, noLimit} {
		for slot := range 12 {
			line := (&index{limits: make([]int, slot+1)})
			line.limits[slot] = limit
			b := line.records(nil, slot, slot+1)
			if len(b) != recordLen {
				t.Fatalf("%q has %d bytes", b, len(b))
			}
			whole := append(line.records(line.header(), 0, slot), b...)
			if _, err := parseIndex(whole); err != nil {
				t.Fatalf("%q: %v", whole, err)
			}
			at := len(whole) - recordLen
			for i := range recordLen {
				for j := range i {
					if swapped := bytes.Clone(whole); b[i] != b[j] {
						swapped[at+i], swapped[at+j] = b[j], b[i]
						if _, err := parseIndex(swapped); err == nil {
							t.Errorf("%q passes for %q", swapped[at:], b)
						}
					}
				}
			}
		}
	}
}

// TestBoundsOfTheIndex: what no berth can have made does not have it read a gigabyte,
// and is named.
func TestBoundsOfTheIndex(t *testing.T) {
	s := newStore(t)
	giveBack(t, takeSlot(t, s, request(1, 1)))
	if err := os.Truncate(s.path("p", "lock"), 1<<30); err != nil {
		t.Fatal(err)
	}
	h, _, err := s.TryAcquire(t.Context(), request(1, 1))
	if h != nil || err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%s: has %d bytes, and no index more than %d", s.path("p", "lock"), 1<<30, maxIndex)) {
		t.Errorf("%v, %v", h, err)
	}
	if fi, err := os.Stat(s.path("p", "lock")); err != nil || fi.Size() != 1<<30 {
		t.Errorf("%v: it was changed", err)
	}

	writeLock(t, s, []byte("garbage"))
	for _, name := range []string{"500000000", "1000000", "99999999999999999999", "-1"} {
		if err := os.WriteFile(s.path("p", "slots", name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	giveBack(t, takeSlot(t, s, request(1, 1)))
	if n := len(lockFile(t, s)); n != headerLen+recordLen {
		t.Errorf("the index has %d bytes", n)
	}
	if pools, err := s.List(t.Context(), "p"); err != nil || len(pools[0].Holders) > 0 {
		t.Errorf("%+v, %v", pools, err)
	}
}
