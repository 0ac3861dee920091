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

// proc is a process as it was read once.
type proc struct {
	key
	ppid    int
	state   byte // the letter of /proc/PID/stat; 0 where a scan does not tell
	exiting bool // the kernel is tearing it down; false where that does not show
	threads int
	cpu     time.Duration
	rss     uint64
}

// tree is a set of processes that grows with every scan: a member stays one after its
// parent has ended and it has another.
type tree struct {
	pid            int                             // the one that errors name
	root           int                             // all descendants of this pid are members, itself is not
	known          map[key]bool                    // so are these, and their descendants
	excluded       map[key]bool                    // these are not, nor are their descendants
	beside         func(key) bool                  // nor are those for which this is true; may be nil
	empty          chan struct{}                   // closed when nothing is left; nil where only a scan can tell
	stopNewOrphans func(stopped map[int]bool) bool // see Child.stopNewOrphans; may be nil
}

// A scan needs two descriptors, and other processes, or the job itself, may have taken the
// last ones (ulimit -n, file-max). It is tried again for some 5 s.
const (
	shortageTries = 100
	shortagePause = 50 * time.Millisecond
)

// living scans the machine once, and returns the members that are alive, parents
// before their children.
func (t *tree) living() ([]proc, error) {
	table, err := scan()
	for tries := 1; isShortage(err) && tries < shortageTries; tries++ {
		time.Sleep(shortagePause)
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

// members picks the tree out of a table, and remembers it. The dead are included:
// a child that was read before its parent died names that parent.
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
	// A scan is not a snapshot, so a pid may be in the table twice, or be its own
	// ancestor: seen makes the walk end.
	seen := map[key]bool{}
	var found []proc
	for ; len(queue) > 0; queue = queue[1:] {
		p := queue[0]
		if seen[p.key] || t.excluded[p.key] || t.beside != nil && t.beside(p.key) {
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
	p, err := readProcess(pid)
	if err != nil {
		return ID{}, fmt.Errorf("cannot identify pid %d: %w", pid, err)
	}
	return p.id()
}

func (p proc) id() (ID, error) {
	id, err := thisSystem()
	if err != nil {
		return ID{}, fmt.Errorf("cannot identify pid %d: %w", p.pid, err)
	}
	id.PID, id.Start = p.pid, p.start
	return id, nil
}

// State reads the process. A zombie is Gone, because it holds nothing any more. So
// is a process of an earlier boot of this host, and one whose pid belongs to another
// process now. A process of another host or pid namespace, or one that we may not
// read, is Unknown.
func (id ID) State() State {
	here, err := thisSystem()
	if err != nil {
		return Unknown
	}
	if s, known := id.knownState(here); known {
		return s
	}
	p, err := readProcess(id.PID)
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

// Ending reports whether the process is gone, or is exiting: it runs no code of its own
// any more, and the kernel closes what it had open. It is false for a process that we may
// not read.
func (id ID) Ending() bool {
	here, err := thisSystem()
	if err != nil {
		return false
	}
	if s, known := id.knownState(here); known {
		return s == Gone
	}
	p, err := readProcess(id.PID)
	if err != nil {
		return errors.Is(err, os.ErrProcessDone)
	}
	return p.start != id.Start || p.dead() || p.exiting
}

// Ancestors names the parent of this process, its parent and so on, up to the
// first process of the machine or pid namespace. The list is shorter if an ancestor
// may not be read.
func Ancestors() ([]ID, error) {
	// An ancestor that ends during the walk breaks the chain, though those above it
	// are still ours: walk again. Only the end of yet another ancestor spoils a try.
	for range 5 {
		if list, whole, err := processesFrom(os.Getppid()); whole || err != nil {
			return list, err
		}
	}
	list, _, err := processesFrom(os.Getppid())
	return list, err
}

// Above names the process and its ancestors, as far as they may be read; nil if it does not
// live here. It is for people: an ancestor that ends during the walk breaks the list off.
func (id ID) Above() []ID {
	if s := id.State(); s != Alive && s != Stopped {
		return nil
	}
	list, _, _ := processesFrom(id.PID)
	return list
}

// processesFrom names a process, its parent and so on. whole is false if one of them has
// ended on the way.
func processesFrom(pid int) (list []ID, whole bool, err error) {
	for pid > 0 {
		p, err := readProcess(pid)
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

// TreeUsages is TreeUsage with Anon, for which it reads each process of the trees once more.
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
	t := &tree{pid: id.PID, known: map[key]bool{{id.PID, id.Start}: true}}
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
