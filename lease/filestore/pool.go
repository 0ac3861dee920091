//go:build unix

package filestore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"berth/lease"
)

// A pool is opened once for a request, and stays open for as long as its place or its lease
// lasts. Its directories may be removed or replaced while it is open.

// pool is one open pool.
type pool struct {
	s    *Store
	name string

	mu   sync.Mutex
	root *dir
	// top is the pool's directory, with a shared flock on it for as long as it is open:
	// systemd-tmpfiles and similar cleaners leave alone what they cannot lock.
	top  *dir
	subs map[string]*dir // slots and line; a missing one is made with its first file
	file *os.File        // the lock file, to read and write the index

	processes sync.Map // of remembered: *lease.Process by lease id, or by adopter

	// earlierBoot: there is no index of this boot, so a record may be of an earlier one, too.
	earlierBoot bool
}

// The directories of a pool.
const (
	top   = ""
	slots = "slots"
	line  = "line"
)

// pool opens a pool, and makes it if create is set. Without create, a missing pool is
// fs.ErrNotExist, and nothing is written. A pool whose lock file was removed is not missing
// if anything else is left of it. The lock file is made again then, without an index, and
// the first process that needs an index counts the locked slots (see rebuild).
func (s *Store) pool(name string, create bool) (*pool, error) {
	if err := lease.CheckPool(name); err != nil {
		return nil, err
	}
	p := &pool{s: s, name: name}
	err := p.open(false)
	create = create || errors.Is(err, fs.ErrNotExist) && p.hasRest()
	for try := 0; create && errors.Is(err, fs.ErrNotExist) && try < 10; try++ {
		p.close()
		err = p.open(true) // ErrNotExist: another process has just removed the pool, hardly ten times in a row
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// hasRest reports whether an open pool has settings, slots or tickets.
func (p *pool) hasRest() bool {
	if p.top == nil {
		return false
	}
	if _, err := p.top.stat("limit"); err == nil {
		return true
	}
	for _, d := range p.subs {
		if found, err := d.names(); err == nil && len(found) > 0 {
			return true
		}
	}
	return false
}

// open opens what exists of the pool, and with create makes the rest.
func (p *pool) open(create bool) (err error) {
	p.subs = map[string]*dir{}
	if p.root, err = p.s.rootDir(); err != nil {
		return err
	}
	get := p.s.openDir
	if create {
		get = p.s.makeDir
	}
	if p.top, err = get(p.root, p.name); err != nil {
		return err
	}
	for _, name := range []string{slots, line} {
		sub, err := get(p.top, name)
		if err == nil {
			p.subs[name] = sub
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	// If this lock fails, a cleaner is at work right now. It will find the files locked or
	// fresh, and nothing here depends on this lock.
	_, _ = flockNB(p.top.f, unix.LOCK_SH)
	to := writing
	if create {
		to = creating
	}
	p.file, err = p.s.openFile(p.top, "lock", to)
	return err
}

func (p *pool) path(parts ...string) string {
	return p.s.path(append([]string{p.name}, parts...)...)
}

func (p *pool) slotPath(i int) string { return p.path(slots, strconv.Itoa(i)) }

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.subs {
		d.close()
	}
	p.top.close()
	if p.file != nil {
		p.file.Close()
	}
}

// in returns a directory of the pool, and with create makes it if it is missing.
func (p *pool) in(name string, create bool) (*dir, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if name == top {
		return p.top, nil
	}
	if d := p.subs[name]; d != nil {
		return d, nil
	}
	get := p.s.openDir
	if create {
		get = p.s.makeDir
	}
	d, err := get(p.top, name)
	if err == nil {
		p.subs[name] = d
	}
	return d, err
}

// openFile opens a file in one of the pool's directories, see Store.openFile.
func (p *pool) openFile(where, name string, to purpose) (*os.File, error) {
	for again := to.creates(); ; again = false {
		d, err := p.in(where, to.creates())
		if err != nil {
			return nil, err
		}
		f, err := p.s.openFile(d, name, to)
		if !again || !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
		p.dropDir(where) // it was removed: nothing can be made in it any more
	}
}

func (p *pool) dropDir(where string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d := p.subs[where]; d != nil {
		d.close()
		delete(p.subs, where)
	}
}

func (p *pool) openSlot(i int, to purpose) (*os.File, error) {
	return p.openFile(slots, strconv.Itoa(i), to)
}

// names lists one of the pool's directories. A missing one is empty.
func (p *pool) names(where string) ([]string, error) {
	d, err := p.in(where, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return d.names()
}

// remove removes a file. A missing one is no error.
func (p *pool) remove(where, name string) error {
	d, err := p.in(where, false)
	if err == nil {
		err = d.remove(name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// stat reads a file's attributes without opening it.
func (p *pool) stat(where, name string) (st unix.Stat_t, err error) {
	d, err := p.in(where, false)
	if err != nil {
		return st, err
	}
	st, err = d.stat(name)
	return st, d.pathErr("stat", name, err)
}

// inPlace reports whether every open directory, up to the store, and the lock file still
// have their names. Checked with the lock held, it means that all others lock the same file.
func (p *pool) inPlace() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, sub := range p.subs {
		if !p.top.leadsTo(name, &sub.st) {
			return false
		}
	}
	return p.s.leadsTo(p.root) && p.root.leadsTo(p.name, &p.top.st) && p.top.stillIs("lock", p.file)
}

// replaced returns what was removed or replaced on the path to f, the file that we opened as
// slot i: other processes do not see our lock on it then. "" means that they do.
func (p *pool) replaced(i int, f *os.File) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch d := p.subs[slots]; {
	case !p.s.leadsTo(p.root):
		return p.s.dir
	case !p.root.leadsTo(p.name, &p.top.st):
		return p.path()
	case d == nil || !p.top.leadsTo(slots, &d.st):
		return p.path(slots)
	case !d.stillIs(strconv.Itoa(i), f):
		return f.Name()
	}
	return ""
}

// identity is that of the directories in which all processes see who holds slots.
func (p *pool) identity() lease.Dir {
	id := fmt.Sprintf("%d:%d", p.top.st.Dev, p.top.st.Ino)
	if d := p.subs[slots]; d != nil {
		id += fmt.Sprintf("/%d", d.st.Ino)
	}
	return lease.Dir{Path: p.path(), ID: id}
}

// hasSlot reports whether f is the file that others open as slot i.
func (p *pool) hasSlot(i int, f *os.File) bool {
	d, err := p.in(slots, false)
	return err == nil && d.stillIs(strconv.Itoa(i), f)
}

// reopen opens the pool again, and makes what is missing of it.
func (p *pool) reopen() error {
	n, err := p.s.pool(p.name, true)
	if err != nil {
		return err
	}
	p.close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.root, p.top, p.subs, p.file = n.root, n.top, n.subs, n.file
	return nil
}
