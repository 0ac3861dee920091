//go:build unix

package procwatch

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// key names a process among those of this machine.
type key struct {
	pid   int
	start uint64
}

// proc is what one look at a process shows.
type proc struct {
	key
	ppid    int
	state   byte // the letter of /proc/PID/stat; 0 where a scan does not tell
	exiting bool // the kernel takes it apart; false where that does not show
	threads int
	cpu     time.Duration
	rss     uint64
}

// tree is a set of processes that grows with every look: a member stays one
// after its parent ended and it went to another.
type tree struct {
	name  int                         // the pid by which errors call it
	root  int                         // every descendant of this pid belongs to it, itself not
	known map[key]bool                // and so do these, with their descendants
	spare map[key]bool                // these do not, with their descendants
	over  chan struct{}               // closed when nothing is left; nil where only a look can tell
	rush  func(met map[int]bool) bool // see Child.rush; may be nil
}

// A look needs two descriptors. Somebody beside us, or the job itself, may have taken
// the last ones (ulimit -n, file-max): it waits for others, some 5 s.
const (
	shortTries = 100
	shortPause = 50 * time.Millisecond
)

// look scans the machine once, and returns those of the tree that are alive,
// parents before their children.
func (t *tree) look() ([]proc, error) {
	table, err := scan()
	for tries := 1; isShortage(err) && tries < shortTries; tries++ {
		time.Sleep(shortPause)
		table, err = scan()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the process table: %w", err)
	}
	var live []proc
	for _, p := range t.members(table) {
		if !p.dead() {
			live = append(live, p)
		}
	}
	return live, nil
}

// members picks the tree out of a table, and remembers it. The dead are in it:
// a child read before its parent died names that parent.
func (t *tree) members(table []proc) []proc {
	children := map[int][]proc{}
	var queue []proc
	for _, p := range table {
		children[p.ppid] = append(children[p.ppid], p)
		if t.known[p.key] {
			queue = append(queue, p)
		}
	}
	if t.root != 0 {
		queue = append(queue, children[t.root]...)
	}
	if t.known == nil {
		t.known = map[key]bool{}
	}
	// A scan is no snapshot, so a pid may be in the table twice, and its own
	// ancestor: seen makes the walk end.
	seen := map[key]bool{}
	var found []proc
	for ; len(queue) > 0; queue = queue[1:] {
		p := queue[0]
		if seen[p.key] || t.spare[p.key] {
			continue
		}
		seen[p.key], t.known[p.key] = true, true
		found = append(found, p)
		queue = append(queue, children[p.pid]...)
	}
	return found
}

// Identify names the process that has pid now. The error wraps
// os.ErrProcessDone when there is none.
func Identify(pid int) (ID, error) {
	p, err := look(pid)
	if err != nil {
		return ID{}, fmt.Errorf("cannot identify pid %d: %w", pid, err)
	}
	return p.id()
}

func (p proc) id() (ID, error) {
	id, err := place()
	if err != nil {
		return ID{}, fmt.Errorf("cannot identify pid %d: %w", p.pid, err)
	}
	id.PID, id.Start = p.pid, p.start
	return id, nil
}

// State looks at the process. A zombie is Gone: it holds nothing any more. So
// is a process of an earlier boot of this host, and one whose pid has another
// owner now. What another host or pid namespace runs, or what we may not look
// at, is Unknown.
func (id ID) State() State {
	here, err := place()
	if err != nil {
		return Unknown
	}
	if s, known := id.judge(here); known {
		return s
	}
	p, err := look(id.PID)
	switch {
	case errors.Is(err, os.ErrProcessDone):
		return Gone
	case err != nil:
		return Unknown
	case p.start != id.Start || p.dead():
		return Gone
	case p.stopped():
		return Stopped
	default:
		return Alive
	}
}

// Ending reports whether the process is gone, or so far on its way out that it
// runs no code of its own any more: the kernel closes what it had open. What we may
// not look at is not.
func (id ID) Ending() bool {
	here, err := place()
	if err != nil {
		return false
	}
	if s, known := id.judge(here); known {
		return s == Gone
	}
	p, err := look(id.PID)
	if err != nil {
		return errors.Is(err, os.ErrProcessDone)
	}
	return p.start != id.Start || p.dead() || p.exiting
}

// Ancestors names the parent of this process, its parent and so on, up to the
// first process of the machine or pid namespace. It is shorter when an ancestor
// may not be looked at.
func Ancestors() ([]ID, error) {
	// An ancestor that ends during the walk breaks the chain, though those above
	// it are still ours: walk again. Every try but the last is spoilt only by
	// the end of one more of them.
	for range 5 {
		if list, whole, err := ancestors(); whole || err != nil {
			return list, err
		}
	}
	list, _, err := ancestors()
	return list, err
}

func ancestors() (list []ID, whole bool, err error) {
	for pid := os.Getppid(); pid > 0; {
		p, err := look(pid)
		if err != nil {
			return list, !errors.Is(err, os.ErrProcessDone), nil
		}
		id, err := p.id()
		if err != nil {
			return nil, false, err
		}
		list, pid = append(list, id), p.ppid
	}
	return list, true, nil
}

// TreeUsages is TreeUsage with Anon, which takes a look at each process.
func TreeUsages(of ...Tree) (map[Tree]Usage, error) {
	all := map[Tree]Usage{}
	if len(of) == 0 {
		return all, nil
	}
	table, err := scan()
	if err != nil {
		return nil, fmt.Errorf("cannot read the process table: %w", err)
	}
	for _, t := range of {
		u, live, err := usageIn(table, t.ID)
		if err != nil {
			continue
		}
		for _, p := range live {
			if p.pid != t.PID || !t.Below {
				u.Anon += p.anon()
			}
		}
		all[t] = u
	}
	return all, nil
}

func usageIn(table []proc, id ID) (u Usage, live []proc, err error) {
	if s := id.State(); s != Alive && s != Stopped {
		return u, nil, fmt.Errorf("cannot measure pid %d, which is %v: %w", id.PID, s, os.ErrProcessDone)
	}
	t := &tree{name: id.PID, known: map[key]bool{{id.PID, id.Start}: true}}
	for _, p := range t.members(table) {
		if p.dead() {
			continue
		}
		cpu, rss := p.usage()
		u.CPU += cpu
		u.RSS += rss
		u.Procs++
		live = append(live, p)
	}
	return u, live, nil
}
