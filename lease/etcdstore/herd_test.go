package etcdstore

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"berth/lease/storetest/engine"
)

// metric sums a metric of the server over its labels.
func metric(t *testing.T, server *engine.Server, name string) (sum int) {
	t.Helper()
	resp, err := http.Get("http://" + server.Addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(body)) {
		if !strings.HasPrefix(l, name) || strings.Contains(l, "Maintenance") {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(l[strings.LastIndex(l, " "):]), 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += int(v)
	}
	return sum
}

func watchers(t *testing.T, server *engine.Server) int {
	return metric(t, server, "etcd_debugging_mvcc_watcher_total ")
}

// TestNoHerd: what a hand-over costs etcd does not depend on how many wait.
func TestNoHerd(t *testing.T) {
	const handOvers, short, long = 8, 50, 200
	cost := map[int][2]int{} // of all hand-overs
	for _, n := range []int{short, long} {
		server := engine.Etcd(t)
		s := open(t, "", server)
		h := mustTry(t, s, request(1, time.Minute))
		var line []<-chan got
		for range n {
			line = append(line, wait(t, mustLine(t, s, request(1, 10*time.Minute))))
		}
		eventually(t, "all to watch", func() bool { return watchers(t, server) >= 2*n+1 })
		counts := func() [2]int {
			return [2]int{
				metric(t, server, "grpc_server_msg_received_total"),
				metric(t, server, "etcd_debugging_mvcc_events_total "),
			}
		}
		before := counts()
		for i := range handOvers {
			mustRelease(t, h)
			h = mustGet(t, line[i])
			eventually(t, "the next to watch", func() bool { return watchers(t, server) == 2*(n-1-i)+1 })
		}
		after := counts()
		cost[n] = [2]int{after[0] - before[0], after[1] - before[1]}
		t.Logf("%d waiters: %d messages to etcd and %d events for %d hand-overs", n, cost[n][0], cost[n][1], handOvers)
	}
	for i, what := range []string{"messages", "events"} {
		few, many := cost[short][i], cost[long][i]
		if few == 0 || many > few+few/4 {
			t.Errorf("%d %s with %d waiters, %d with %d", few, what, short, many, long)
		}
	}
}
