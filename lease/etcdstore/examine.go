package etcdstore

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"berth/lease"
)

// memberState is what an examination finds of a member of the cluster.
type memberState struct {
	host    string
	err     error
	version string
	leader  bool // it is the leader
	knows   bool // it knows of a leader
	size    int64
	latency time.Duration
	alarms  []string
}

// Examine implements lease.Examiner.
func (s *Store) Examine(ctx context.Context) []lease.Finding { return judge(s.look(ctx)) }

func (s *Store) look(ctx context.Context) (all []memberState) {
	for _, endpoint := range s.endpoints {
		_, host, _ := strings.Cut(endpoint, "://")
		short, cancel := context.WithTimeout(ctx, attemptTimeout)
		m := memberState{host: host}
		if _, m.err = s.client.Status(short, endpoint); m.err == nil { // the first one connects
			sent := time.Now()
			got, err := s.client.Status(short, endpoint)
			m.latency, m.err = time.Since(sent), err
			if err == nil {
				m.version, m.size, m.alarms = got.Version, got.DbSize, got.Errors
				m.leader, m.knows = got.Leader == got.Header.MemberId, got.Leader != 0
			}
		}
		cancel()
		if m.err != nil {
			m.err = s.classify(m.err)
		}
		all = append(all, m)
	}
	return all
}

const slowAnswer = 100 * time.Millisecond

// judge says what is found of the members means.
func judge(all []memberState) (found []lease.Finding) {
	answer := 0
	for _, m := range all {
		if m.err == nil {
			answer++
		}
	}
	for _, m := range all {
		found = append(found, m.judge(answer > 0), m.judgeLatency(), m.judgeSpace())
	}
	kept := found[:0]
	for _, f := range found {
		if f.Name != "" {
			kept = append(kept, f)
		}
	}
	return kept
}

func (m memberState) judge(others bool) lease.Finding {
	role := "follower"
	if m.leader {
		role = "leader"
	}
	fact := fmt.Sprintf("%s: etcd %s, %s", m.host, m.version, role)
	remedy := cmp.Or(lease.HintOf(m.err), "etcdctl --endpoints "+m.host+" endpoint health")
	switch {
	case m.err != nil && others:
		return lease.Ill("member", lease.Warn, fmt.Sprintf("%s: %v; others answer", m.host, m.err), remedy)
	case m.err != nil:
		return lease.Ill("member", lease.Fail, fmt.Sprintf("%s: %v", m.host, m.err), remedy)
	case !m.knows:
		return lease.Ill("member", lease.Fail, fact+", and knows no leader: more than half of the members have to be up", "etcdctl endpoint status")
	case revokesLate(m.version):
		return lease.Ill("member", lease.Warn, fact+": a leader that was frozen revokes leases that were renewed in between", "etcd 3.4.31, 3.5.13 or later")
	}
	return lease.Good("member", fact)
}

// revokesLate reports whether a version has that error, see berth help stores.
func revokesLate(version string) bool {
	var major, minor, patch int
	if n, _ := fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &patch); n < 3 || major != 3 {
		return n == 3 && major < 3
	}
	return minor < 4 || minor == 4 && patch < 31 || minor == 5 && patch < 13
}

func (m memberState) judgeLatency() lease.Finding {
	fact := fmt.Sprintf("%s: %.1f ms for an answer", m.host, float64(m.latency)/1e6)
	switch {
	case m.err != nil:
		return lease.Finding{}
	case m.latency > slowAnswer:
		return lease.Ill("latency", lease.Warn, fact, "members that are nearer, or a longer --ttl")
	}
	return lease.Good("latency", fact)
}

func (m memberState) judgeSpace() lease.Finding {
	fact := fmt.Sprintf("%s: %d MB", m.host, m.size>>20)
	for _, a := range m.alarms {
		if strings.Contains(a, "NOSPACE") {
			return lease.Ill("space", lease.Fail, fact+", and the alarm NOSPACE: no job starts", "etcdctl compact REVISION; etcdctl defrag; etcdctl alarm disarm")
		}
	}
	switch {
	case m.err != nil:
		return lease.Finding{}
	case len(m.alarms) > 0:
		return lease.Ill("space", lease.Warn, fact+", and alarms: "+strings.Join(m.alarms, ", "), "etcdctl alarm list")
	}
	return lease.Good("space", fact)
}
