package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"berth/cmd/open"
	"berth/cmd/stopping"
	"berth/cmd/storename"
	"berth/cmd/text"
	"berth/lease"
	"berth/lease/remote"
	"berth/limiter"
)

// storeHint is the hint if the system does not let this process use a store's directory, else
// "".
func storeHint(err error) string {
	var at *fs.PathError
	var unusable *lease.UnusableStoreError
	path := ""
	switch {
	case errors.As(err, &unusable):
		path = unusable.Dir
	case errors.As(err, &at):
		path = at.Path
	}
	dir := text.Quoted([]string{filepath.Dir(path)})[0]
	switch {
	case path != "" && errors.Is(err, syscall.ENOSPC):
		return fmt.Sprintf("df -h %s; df -i %s", dir, dir)
	case path != "" && errors.Is(err, syscall.EDQUOT):
		return "quota -s; --store or BERTH_STORE names a directory elsewhere"
	case path != "" && errors.Is(err, syscall.EROFS):
		return "name a directory that can be written with --store or BERTH_STORE"
	case path != "" && unusable == nil && errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("ls -ld %s; --store or BERTH_STORE names another directory", dir)
	case errors.Is(err, syscall.EMFILE):
		return "ulimit -n 1024"
	case errors.Is(err, fs.ErrPermission), unusable != nil && errors.Is(err, syscall.ENOTDIR):
		return "name a directory of yours with --store or BERTH_STORE"
	}
	return ""
}

// nameHint is what to type instead of a name that is not the name of a store.
func nameHint(e *open.NameError) string {
	where, shown := e.Spec.Where, storename.Discreet(e.Spec.Where)
	scheme, rest, _ := storename.Cut(where)
	switch hidden := strings.Contains(shown, "…"); {
	case e.Kind == storename.Empty:
		return "without --store it is the one of BERTH_STORE, else of /etc/berth/store, else /var/tmp/berth-UID"
	case e.Kind == storename.Tilde:
		return fmt.Sprintf("write the whole path%s: ~ stays as it is in a crontab, in YAML, in quotes and behind --store=", atHome(where))
	case e.Kind == storename.Address && hidden:
		return "redis://USER:PASSWORD@HOST or etcd://USER:PASSWORD@HOST for a server; with ./ before it, it is a directory's name"
	case e.Kind == storename.Address:
		host := shown
		if ip, err := netip.ParseAddr(shown); err == nil && ip.Is6() {
			host = "[" + shown + "]"
		}
		return fmt.Sprintf("redis://%s or etcd://%s for a server; ./%s for a directory of that name", host, host, shown)
	case hidden:
		return storename.Meant(scheme) + "://USER:PASSWORD@HOST for a server"
	}
	hint := fmt.Sprintf("%s://%s for a server", storename.Meant(scheme), remote.Redact(rest))
	if strings.HasPrefix(where, scheme+":") {
		hint += fmt.Sprintf("; ./%s for a directory of that name", shown)
	}
	return hint
}

// atHome is the path that a shell makes of ~/DIR, "" if that is unknown.
func atHome(where string) string {
	home, rest := os.Getenv("HOME"), where[1:]
	if home == "" || rest != "" && rest[0] != '/' {
		return ""
	}
	return ", " + text.Quoted([]string{home + rest})[0]
}

// outageHint is the hint if a server cannot be reached or cannot answer now, "" if one can only
// wait.
func outageHint(e *lease.UnreachableError) string {
	if e.Hint == "" && !e.Answers {
		return "is the server there, and reachable from here? --store or BERTH_STORE names it"
	}
	return e.Hint
}

// trouble prints that a store cannot be reached and is tried again. The first time it adds the
// hint: if the address is mistyped, the wait never ends.
func (s *speaker) trouble(err error) {
	s.notef("%v; trying again", err)
	var out *lease.UnreachableError
	if s.quiet || !errors.As(err, &out) {
		return
	}
	s.hinted.Do(func() { s.advise(outageHint(out)) })
}

// advise prints a hint, if there is one that can be pasted as it is shown.
func (s *speaker) advise(hint string) {
	if hint != "" && text.OneLine(hint) == hint {
		s.hintf("%s", hint)
	}
}

// heldHint is the hint for a pool's lock that stays held. A berth holds it only for a moment,
// unless it is stopped.
func heldHint(e *lease.LockHeldError) string {
	switch {
	case e.Frozen:
		return fmt.Sprintf("kill -CONT %d", e.PID)
	case e.PID != 0:
		return fmt.Sprintf("ps -fp %d shows what that is; it goes on when that ends", e.PID)
	}
	return fmt.Sprintf("as root, on each machine and in each container that has the store: fuser -v %s", text.Quoted([]string{e.Path})[0])
}

// heavyHint is the hint for a weight above the limit, according to who has set the limit.
func heavyHint(e *limiter.TooHeavyError) string {
	switch {
	case e.Named: // a greater limit needs more names
		return fmt.Sprintf("a smaller weight, or for all callers as many names: berth limit %s --names NAME,...", e.Pool)
	case e.Own:
		return fmt.Sprintf("a smaller weight, or for all callers: berth limit %s %d", e.Pool, e.Weight)
	case e.Requested:
		return fmt.Sprintf("a smaller weight, or -n %d", e.Weight)
	}
	return fmt.Sprintf("a smaller weight, or -n %d, or for all callers: berth limit %s %d", e.Weight, e.Pool, e.Weight)
}

// freshHint is how to skip the wait for jobs that a new server may have forgotten, "" for a
// store that forgets none or that was told to skip it.
func freshHint(where string) string {
	d, err := remote.ParseURL(where)
	if err != nil || strings.HasPrefix(d.Scheme, "etcd") || d.Settings.Has("fresh") {
		return ""
	}
	return "if no berth has ever used this server, ?fresh=1 behind its URL skips this wait"
}

// strangerHint is how to end a job that this user cannot end, or that only a record shows.
func strangerHint(e *stopping.StrangerError) string {
	argv := []string{"berth", "stop", "--store", e.Where, e.Lease.ID}
	switch owner := text.UserName(e.Lease.UID); {
	case !e.Hidden() && e.Lease.Child.PID == 1:
		return "ps -fp 1"
	case !e.Hidden():
		return fmt.Sprintf("check with ps -fp %d; if it is the job: kill %d", e.Lease.Child.PID, e.Lease.Child.PID)
	case e.Lease.UID == os.Geteuid():
		argv = append([]string{"sudo"}, slices.Insert(argv, 4, "--store-owner", owner)...)
	case owner == strconv.Itoa(e.Lease.UID): // it has no name here
		argv = append([]string{"sudo", "-u", "#" + owner}, argv...)
	default:
		argv = append([]string{"sudo", "-u", owner}, argv...)
	}
	return strings.Join(text.Quoted(argv), " ")
}
