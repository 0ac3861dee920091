package words

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"berth/cmd/storename"
	"berth/cmd/tty"
	"berth/lease"
	"berth/procwatch"
)

// checkLine finds flags about slots that are right each by itself and contradict each other.
func (p *parser) checkLine(l *Line) error {
	remote := storename.IsURL(l.Store.Where)
	heaviest := slices.MaxFunc(l.Requests, func(a, b lease.Request) int { return a.Weight - b.Weight })
	switch r := l.First(); {
	case !remote && p.isSet("ttl"):
		return fmt.Errorf("--ttl %s: in a directory a lease ends with its berth, not by a clock; drop it", p.text("ttl"))
	case l.Store.Replicas > 0 && !strings.Contains(storename.Scheme(l.Store.Where), "redis") && storename.Scheme(l.Store.Where) != "unix":
		return fmt.Errorf("--redis-wait %d: the store is not on Redis; drop it", l.Store.Replicas)
	case remote && heaviest.Weight > mostWeight:
		return fmt.Errorf("%s: at most %d with a store on a server, which keeps a list of them", p.weightOf(&heaviest), mostWeight)
	case r.Limit > 0 && r.Weight > r.Limit:
		return fmt.Errorf("%s needs more than the %d slots that -n allows", p.weightOf(r), r.Limit)
	case l.Supersede && r.Job == "":
		return fmt.Errorf("--supersede needs --job NAME")
	case r.Key == "" && p.isSet("ticket-grace"):
		return fmt.Errorf("--ticket-grace needs --ticket KEY")
	}
	return nil
}

// checkConflicts is checkLine for flags about the command.
func (p *parser) checkConflicts(s *Run) error {
	none := map[string]bool{"timeout": s.Timeout == 0, "idle-timeout": s.IdleTimeout == 0}
	for _, f := range []string{"timeout", "idle-timeout", "signal", "kill-after", "hold", "leftovers", "heartbeat", "on", "with-parent", "if-orphaned"} {
		if s.Exec && p.isSet(f) && !none[f] {
			return fmt.Errorf("--exec leaves no berth to take care of --%s; drop one of them", f)
		}
	}
	switch {
	case s.Detach && s.Exec:
		return fmt.Errorf("--exec leaves no berth to record the end of a job that goes on with --detach; drop one of them")
	case s.Detach && p.isSet("lease"):
		return fmt.Errorf("--detach takes a slot of its own, and --lease %s is one already; drop one of them", p.text("lease"))
	case s.Detach && (s.OnBusy == "skip" || s.OnBusy == "run"):
		return fmt.Errorf("--detach prints the id of a lease, and with --on-busy %s there may be none; drop one of them", s.OnBusy)
	case !s.Detach && p.isSet("log"):
		return fmt.Errorf("--log is for the output of --detach; drop it, or redirect the output of berth")
	case p.isSet("log") && s.Log == "":
		return fmt.Errorf("--log: the name of the file is empty")
	case s.Detach && s.WithParent:
		return fmt.Errorf("--detach goes on when its caller is gone, and --with-parent ends then; drop one of them")
	case p.isSet("hook-timeout") && s.On == nil:
		return fmt.Errorf("--hook-timeout needs --on EVENT=CMD")
	case storename.IsURL(s.Store.Where) && s.Exec:
		return fmt.Errorf("--exec leaves no berth to renew the lease in a store on a server; drop it")
	case len(s.Argv) == 0:
		return p.noCommand()
	case s.Argv[0] == "":
		return fmt.Errorf("the command to run is an empty string")
	case s.Hold == "tree" && !procwatch.CanWaitTree():
		return fmt.Errorf("--hold tree needs Linux: this system does not report when the last descendant ends")
	case s.Hold == "tree" && s.Leftovers == "kill":
		return fmt.Errorf("--leftovers kill leaves nothing that --hold tree could wait for; drop one of them")
	case s.Leftovers == "kill" && !procwatch.CanWaitTree():
		return fmt.Errorf("--leftovers kill needs Linux: this system cannot find processes that have lost their parent")
	case s.IdleTimeout > 0 && s.OnBusy == "run":
		return fmt.Errorf("--idle-timeout %s needs a lease for 'berth keepalive', and --on-busy run may start without one", p.text("idle-timeout"))
	}
	return nil
}

// noCommand is the error when no command is named. In a crontab % ends the line, so of
// '-n 50% -- COMMAND' only '-n 50' is left. The hint is for flags that may end with %, and
// only where a crontab may be read: not on a terminal.
func (p *parser) noCommand() error {
	err := errors.New("no command to run")
	next := "berth run " + typed.before(0) + "-- COMMAND"
	for _, f := range []string{"slots", "max-cpu", "max-mem", "min-mem", "max-pressure", "target-cpu", "target-mem"} {
		v := p.text(f)
		digit := strings.Trim(v[max(0, len(v)-1):], "0123456789") == ""
		if p.isSet(f) && digit && !tty.IsTerminal(0) && !tty.IsTerminal(2) {
			return Hinted(err, fmt.Sprintf(`%s; if this is in a crontab: %% ends the line there, so write --%s %s\%%`, next, f, v))
		}
	}
	return Hinted(err, next)
}
