//go:build linux

package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"berth/lease/storetest/engine"
	"berth/scripts/testbed"
)

// memberCount are the members of an etcd of a storm. One of them hangs for good some
// time into the storm.
const memberCount = 3

// member does something to one member of the cluster that does not hang: to all of
// them, as far as runs can tell, when without it there is no majority.
func (s *storm) member(p *Planner, do func(*engine.Server), what string) {
	s.steady.Lock()
	defer s.steady.Unlock()
	if s.hung != nil && p.chance(70) {
		return // each is an outage, with an election behind it: not all the time
	}
	m := pick(p, s.well())
	if s.hung == nil {
		over := s.begins("member")
		do(m)
		over()
		return
	}
	over := s.begins(what)
	do(m)
	s.answers()
	over()
}

// well are the members that do not hang.
func (s *storm) well() []*engine.Server {
	return slices.DeleteFunc(slices.Clone(s.cluster), func(m *engine.Server) bool { return m == s.hung })
}

// hang freezes a member for good, the leader as often as another one.
func (s *storm) hang(p *Planner, lasts time.Duration) {
	leader, at := p.chance(50), p.between(lasts/6, lasts/3)
	if !s.rest(at) {
		return
	}
	s.steady.Lock() // no other one is away
	defer s.steady.Unlock()
	s.answers()
	m, ok := s.memberThat(leader)
	if !ok {
		s.badf("harness: no member is the leader, or all are")
		return
	}
	m.Freeze()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hung, s.hungLeader = m, leader
	s.log.server.outages = append(s.log.server.outages, Outage{what: "hung", from: testbed.Monotonic(), to: never})
}

// memberThat finds one that leads, or does not.
func (s *storm) memberThat(leads bool) (*engine.Server, bool) {
	for _, m := range s.cluster {
		var status struct {
			Header struct {
				MemberID string `json:"member_id"`
			}
			Leader string
		}
		err := etcdAsk(m, "/v3/maintenance/status", struct{}{}, &status)
		if err == nil && (status.Header.MemberID == status.Leader) == leads {
			return m, true
		}
	}
	return nil, false
}

// answers waits until the cluster has a leader and answers.
func (s *storm) answers() {
	for end := time.Now().Add(engine.Deadline); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if s.quickest() == nil {
			return
		}
	}
	s.badf("harness: the cluster does not come back")
}

// probe notes when no member of the cluster answers for long. 'berth ls' does not tell:
// what takes it long may be the fault that the storm looks for.
func (s *storm) probe(*Planner) {
	from := testbed.Monotonic()
	time.Sleep(50 * time.Millisecond)
	_ = s.quickest()
	s.slow(from, testbed.Monotonic()-int64(50*time.Millisecond))
}

// quickest asks all members for what a majority must agree on, and returns with the
// first answer.
func (s *storm) quickest() error {
	answers := make(chan error, len(s.cluster))
	var last error
	for _, m := range s.cluster {
		go func() {
			var found struct{}
			answers <- etcdAsk(m, "/v3/kv/range", map[string]any{"key": base64.StdEncoding.EncodeToString([]byte("probe"))}, &found)
		}()
	}
	for range s.cluster {
		if last = <-answers; last == nil {
			return nil
		}
	}
	return last
}

// etcdClients has one for each member, which keeps its connection.
var etcdClients sync.Map

func etcdAsk(m *engine.Server, path string, question, answer any) error {
	c, _ := etcdClients.LoadOrStore(m, &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{}})
	ask, err := json.Marshal(question)
	if err != nil {
		return err
	}
	got, err := c.(*http.Client).Post("http://"+m.Addr+path, "application/json", bytes.NewReader(ask))
	if err != nil {
		return err
	}
	defer got.Body.Close()
	if got.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, got.Status)
	}
	return json.NewDecoder(got.Body).Decode(answer)
}
