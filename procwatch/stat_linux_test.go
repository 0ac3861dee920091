package procwatch

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// statLine has field n holding n from field 4 on, so that one field taken for
// another shows.
func statLine(pid, comm, state string) string {
	var b strings.Builder
	b.WriteString(pid + " (" + comm + ") " + state)
	for n := 4; n <= 52; n++ {
		b.WriteString(" " + string(rune('0'+n/10)) + string(rune('0'+n%10)))
	}
	return b.String() + "\n"
}

func TestParseStat(t *testing.T) {
	want := proc{
		key: key{812, 22}, ppid: 4, state: 'S', threads: 20,
		cpu: (14 + 15 + 16 + 17) * 10 * time.Millisecond, rss: 24 * pageSize,
	}
	for _, comm := range []string{"sh", "", "a b", "x) R 1 2 (y", "(", ")", "tab\tnew\nline", "\xff\xfe", ") Z 1"} {
		got, err := parseStat([]byte(statLine("812", comm, "S")))
		if err != nil || got != want {
			t.Errorf("%q: got %+v, %v", comm, got, err)
		}
	}
	good := statLine("812", "sh", "S")
	for name, line := range map[string]string{
		"empty":       "",
		"no name":     "812 sh S 4 5",
		"cut":         good[:40],
		"backwards":   "812 ) S (",
		"no pid":      statLine("", "sh", "S"),
		"pid":         statLine("-1", "sh", "S"),
		"long state":  statLine("812", "sh", "SS"),
		"letters":     strings.Replace(good, " 22 ", " x ", 1),
		"overflow":    strings.Replace(good, " 22 ", " 99999999999999999999999 ", 1),
		"minus start": strings.Replace(good, " 22 ", " -22 ", 1),
	} {
		if p, err := parseStat([]byte(line)); err == nil {
			t.Errorf("%s: taken for %+v", name, p)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	if line, err := os.ReadFile("/proc/self/stat"); err == nil {
		f.Add(line)
	}
	f.Add([]byte(statLine("812", "x) R 1 (", "S")))
	f.Add([]byte("1 (a) S"))
	f.Fuzz(func(t *testing.T, line []byte) {
		p, err := parseStat(line)
		if err != nil {
			if p != (proc{}) {
				t.Errorf("an error, and %+v", p)
			}
			return
		}
		// Whatever the name is, it has no part in the meaning.
		rest := line[bytes.LastIndexByte(line, ')'):]
		head := line[:bytes.IndexByte(line, '(')]
		again, err := parseStat(slices.Concat(head, []byte("(other) S 1 (name"), rest))
		if err != nil || again != p {
			t.Errorf("with another name: %+v %v, was %+v", again, err, p)
		}
	})
}

func TestDead(t *testing.T) {
	for _, tt := range []struct {
		state   byte
		threads int
		want    bool
	}{{'Z', 1, true}, {'Z', 0, true}, {'Z', 2, false}, {'X', 1, true}, {'S', 1, false}, {'T', 1, false}, {'D', 1, false}} {
		if got := (proc{state: tt.state, threads: tt.threads}).dead(); got != tt.want {
			t.Errorf("%c with %d threads: %v", tt.state, tt.threads, got)
		}
	}
}

func TestJudge(t *testing.T) {
	here := ID{Boot: "b", PIDNS: 7, Host: "h"}
	for name, tt := range map[string]struct {
		id    ID
		here  ID
		want  State
		known bool
	}{
		"same place":           {ID{1, 2, "b", 7, "h"}, here, Unknown, false},
		"renamed host":         {ID{1, 2, "b", 7, "was"}, here, Unknown, false},
		"earlier boot":         {ID{1, 2, "a", 7, "h"}, here, Gone, true},
		"another host":         {ID{1, 2, "a", 7, "x"}, here, Unknown, true},
		"another namespace":    {ID{1, 2, "b", 8, "h"}, here, Unknown, true},
		"boot not recorded":    {ID{1, 2, "", 7, "h"}, here, Unknown, true},
		"start not recorded":   {ID{1, 0, "b", 7, "h"}, here, Unknown, true},
		"no pid":               {ID{0, 2, "b", 7, "h"}, here, Unknown, true},
		"a group":              {ID{-1, 2, "b", 7, "h"}, here, Unknown, true},
		"no boot ids, same":    {ID{1, 2, "", 0, "h"}, ID{Host: "h"}, Unknown, false},
		"no boot ids, another": {ID{1, 2, "", 0, "x"}, ID{Host: "h"}, Unknown, true},
	} {
		if got, known := tt.id.knownState(tt.here); got != tt.want || known != tt.known {
			t.Errorf("%s: got %v %v", name, got, known)
		}
	}
}

func TestMembers(t *testing.T) {
	p := func(pid, ppid int, start uint64) proc { return proc{key: key{pid, start}, ppid: ppid} }
	table := []proc{
		p(1, 0, 1), p(10, 1, 5), // 10 is the root
		p(11, 10, 6), p(12, 11, 7), p(13, 12, 8),
		p(20, 10, 3), p(21, 20, 4), // spared
		p(30, 1, 9), p(31, 30, 9), // known from before, orphaned
		p(40, 1, 99), p(41, 40, 99), // 40 has the pid of a known one that is gone
		p(50, 51, 9), p(51, 50, 9), // a circle, from a scan that was overtaken
		p(60, 1, 9),
	}
	tree := &tree{
		root:     10,
		known:    map[key]bool{{30, 9}: true, {40, 9}: true, {50, 9}: true},
		excluded: map[key]bool{{20, 3}: true},
	}
	var got []int
	for _, m := range tree.members(table) {
		got = append(got, m.pid)
	}
	slices.Sort(got)
	if want := []int{11, 12, 13, 30, 31, 50, 51}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	// 12 has gone to another parent since.
	if got := tree.members([]proc{p(12, 1, 7)}); len(got) != 1 {
		t.Errorf("a member was forgotten: %v", got)
	}
}

func TestSignalOfAReusedPidIsNotSent(t *testing.T) {
	// Signal 0 of both ways reaches us under our name only; a kill would show.
	self, err := readProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	self.start++
	for _, send := range []func(proc, syscall.Signal) error{signalExactly, signalChecked} {
		if err := send(self, 9); err != nil {
			t.Error(err)
		}
	}
}
