//go:build unix

package procwatch

import "fmt"

// TreeUsage adds up what each of these processes and its living descendants use, except
// for Anon. It scans the machine once. A process that is gone is left out: its
// descendants cannot be told from others.
func TreeUsage(of ...ID) (map[ID]Usage, error) {
	all := map[ID]Usage{}
	if len(of) == 0 {
		return all, nil
	}
	here, err := thisSystem()
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
		if _, elsewhere := id.knownState(here); ok && !elsewhere && !root.dead() {
			all[id] = usageBelow(root, children)
		}
	}
	return all, nil
}

// usageBelow walks down from root. A scan is not a snapshot, so a process may seem to be
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
