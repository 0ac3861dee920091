//go:build unix

package procwatch

import "fmt"

// TreeUsage adds up what each of these processes and all its descendants take that
// are alive now, but for Anon, at the price of one look at the machine. Those that are
// gone are left out: their descendants cannot be told from others' then.
func TreeUsage(of ...ID) (map[ID]Usage, error) {
	all := map[ID]Usage{}
	if len(of) == 0 {
		return all, nil
	}
	here, err := place()
	if err != nil {
		return nil, fmt.Errorf("cannot read the process table: %w", err)
	}
	table, err := scan()
	if err != nil {
		return nil, fmt.Errorf("cannot read the process table: %w", err)
	}
	children, found := map[int][]proc{}, map[key]proc{}
	for _, p := range table {
		children[p.ppid] = append(children[p.ppid], p)
		found[p.key] = p
	}
	for _, id := range of {
		root, ok := found[key{id.PID, id.Start}]
		if _, elsewhere := id.judge(here); ok && !elsewhere && !root.dead() {
			all[id] = usageBelow(root, children)
		}
	}
	return all, nil
}

// usageBelow walks down from root. A scan is no snapshot, so a process may seem to be
// its own ancestor: seen makes the walk end.
func usageBelow(root proc, children map[int][]proc) (u Usage) {
	seen := map[key]bool{}
	for queue := []proc{root}; len(queue) > 0; queue = queue[1:] {
		p := queue[0]
		if seen[p.key] {
			continue
		}
		seen[p.key] = true
		if !p.dead() {
			cpu, rss := p.usage()
			u.CPU += cpu
			u.RSS += rss
			u.Procs++
		}
		queue = append(queue, children[p.pid]...)
	}
	return u
}
