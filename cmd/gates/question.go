package gates

import (
	"fmt"
	"os"
	"strconv"

	"berth/cmd/text"
	"berth/lease"
	"berth/limiter/gate"
	"berth/procwatch"
)

// question is what the gates of v are asked; pool is what is known of the pool, nil:
// nothing.
func (a *Asker) question(v lease.Verdict, pool *lease.Pool) (gate.Question, error) {
	q := gate.Question{
		Need: a.Request.Needs(v.Own), SinceStart: v.SinceStart,
		Env: a.environ(v),
	}
	for _, text := range v.Gates {
		g, err := gate.Decode(text)
		if err != nil {
			return q, fmt.Errorf("pool %s: %w", a.Request.Pool, err)
		}
		from := ""
		if text != a.Request.Gates {
			from = "pool"
			if err := trusted(a.Request.Pool, g, v.Own, a.UserName); err != nil {
				return q, err
			}
		}
		q.Sets = append(q.Sets, gate.Set{Gates: g, From: from})
	}
	if pool != nil {
		q.Others = a.uses(pool)
		if pool.Report != nil {
			q.Shared = pool.Report.Data
		}
	}
	return q, nil
}

// Trusted refuses a command that another user has put into a pool's settings: it would run
// as us.
func Trusted(pool string, own lease.Settings, userName func(uid int) string) error {
	if own.Gates == "" {
		return nil
	}
	g, err := gate.Decode(own.Gates)
	if err != nil {
		return err
	}
	return trusted(pool, g, own, userName)
}

func trusted(pool string, g gate.Gates, own lease.Settings, userName func(uid int) string) error {
	if g.Command == "" || own.UID == os.Getuid() || own.UID == 0 {
		return nil
	}
	who := "an unknown user"
	if own.UID > 0 {
		who = userName(own.UID)
	}
	return fmt.Errorf("pool %s has the gate command %q, set by %s; only one of your own or of root's is run: 'berth limit --clear %s' removes all settings",
		pool, text.Shorten(text.OneLine(g.Command), 60), who, pool)
}

// uses are the jobs of this machine that declared a need, and what they use of it. They are
// read before the machine is: what a job takes in between is then counted twice, not left
// out.
func (a *Asker) uses(pool *lease.Pool) []gate.Use {
	var jobs []*lease.Lease
	var trees []procwatch.Tree
	for _, h := range pool.Holders {
		if l := h.Lease; l.Need != (lease.Need{}) && l.Owner.Boot == a.Boot {
			jobs = append(jobs, l)
			trees = append(trees, treeOf(l))
		}
	}
	used, _ := procwatch.TreeUsages(trees...) // what cannot be seen is kept free as a whole
	var all []gate.Use
	for i, l := range jobs {
		u := gate.Use{ID: l.ID, Need: l.Need}
		if t, ok := used[trees[i]]; ok {
			u.Mem, u.CPU, u.Known = t.Anon, t.CPU, true
		}
		all = append(all, u)
	}
	return all
}

// treeOf is where all of a job is: below its berth, which adopts what loses its parent. The
// command of an orphan, or one that berth has become, is the job itself. What an acquired lease
// is for is the process that it is tied to, or else what runs under it now.
func treeOf(l *lease.Lease) procwatch.Tree {
	switch {
	case l.Kept && l.Tied != nil:
		return procwatch.Tree{ID: procwatch.ID(*l.Tied)}
	case l.Kept && l.Adopter != nil:
		return procwatch.Tree{ID: procwatch.ID(*l.Adopter), Below: true}
	case l.Kept:
		return procwatch.Tree{} // nothing is known to use it
	}
	if l.Child != nil && (l.State == lease.Orphaned || *l.Child == l.Owner) {
		return procwatch.Tree{ID: procwatch.ID(*l.Child)}
	}
	return procwatch.Tree{ID: procwatch.ID(l.Owner), Below: true}
}

// environ is what a gate's command finds, but for the readings. Of two entries of one name
// it finds the last.
func (a *Asker) environ(v lease.Verdict) []string {
	env := append(os.Environ(), "BERTH_POOL="+a.Request.Pool, "BERTH_STORE="+a.Where,
		"BERTH_USED="+strconv.Itoa(v.Used), "BERTH_LIMIT="+strconv.Itoa(v.Limit))
	need := a.Request.Needs(v.Own)
	if need.Mem > 0 {
		env = append(env, "BERTH_NEED_MEM="+strconv.FormatUint(need.Mem, 10))
	}
	if need.CPU > 0 {
		env = append(env, "BERTH_NEED_CPU="+strconv.FormatFloat(need.CPU, 'f', -1, 64))
	}
	for k, l := range a.Request.Labels {
		env = append(env, "BERTH_LABEL_"+k+"="+l)
	}
	return env
}
