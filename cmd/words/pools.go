package words

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"berth/lease"
)

// typedPool is a pool that was typed, and how many of its slots are wanted.
type typedPool struct {
	name   string
	weight int
}

// mostPools bounds how many pools a job takes slots of: each record has the ids of all.
const mostPools = 16

// poolsTyped are the pools of the line, at least one. A colon, which no pool's name has, is
// followed by the weight there.
func (p *parser) poolsTyped() (pools []typedPool) {
	weight, words := p.count("weight", 1, MaxSlots), p.list("pool")
	if len(words) == 0 {
		words = []string{"default"}
	}
	for _, w := range words {
		t := typedPool{weight: weight}
		name, k, several := strings.Cut(w, ":")
		if several {
			var err error
			if t.weight, err = ParseCount(k, "valid", 1, MaxSlots, ""); err != nil {
				p.check("pool", fmt.Errorf("%q is not valid: after the colon stands how many slots to take, a whole number from 1 to %d", w, MaxSlots))
			}
		}
		t.name = name
		p.check("pool", lease.CheckPool(t.name))
		if several && p.isSet("weight") {
			p.fail(fmt.Errorf("--weight %s and -p %s both say how many slots: leave one out", p.text("weight"), w))
		}
		if slices.ContainsFunc(pools, func(o typedPool) bool { return o.name == t.name }) {
			p.fail(Hinted(fmt.Errorf("pool %s is named twice", t.name), fmt.Sprintf("-p %s:2 takes two of its slots", t.name)))
		}
		pools = append(pools, t)
	}
	p.fail(p.checkPools(pools))
	return pools
}

// checkPools refuses flags that are about one pool if there are several.
func (p *parser) checkPools(pools []typedPool) error {
	if len(pools) == 1 {
		return nil
	}
	switch first := pools[0].name; {
	case len(pools) > mostPools:
		return fmt.Errorf("%d pools are too many (at most %d)", len(pools), mostPools)
	case p.isSet("slots"):
		return Hinted(fmt.Errorf("-n %s goes with a single pool: several use the limits of their own", p.text("slots")),
			fmt.Sprintf("berth limit %s N sets that of pool %s", first, first))
	case p.isSet("weight"):
		return Hinted(fmt.Errorf("--weight %s goes with a single pool", p.text("weight")),
			fmt.Sprintf("-p %s:%s takes as many slots of pool %s", first, p.text("weight"), first))
	case p.isSet("ticket"):
		return Hinted(errors.New("--ticket goes with a single pool: a job that waits for one of several holds slots of the others, and nothing keeps those"),
			"leave --ticket out")
	}
	return nil
}

// weightOf is how the weight of a request was typed.
func (p *parser) weightOf(r *lease.Request) string {
	if p.isSet("weight") {
		return fmt.Sprintf("--weight %d", r.Weight)
	}
	return fmt.Sprintf("-p %s:%d", r.Pool, r.Weight)
}

// spread makes of one request those of all pools. The gates and the pace that were typed are
// asked right before the start, when the slots of all other pools are had, so they are those of
// the pool that is taken last. What the job needs is counted in all.
func spread(r lease.Request, pools []typedPool) (all []lease.Request) {
	last := slices.MaxFunc(pools, func(a, b typedPool) int { return strings.Compare(a.name, b.name) })
	for _, t := range pools {
		q := r
		q.Pool, q.Weight = t.name, t.weight
		if t.name != last.name {
			q.Conditions = lease.Conditions{Need: r.Need}
		}
		all = append(all, q)
	}
	return all
}
