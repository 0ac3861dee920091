package lease

import (
	"slices"
	"strings"
	"testing"
)

func TestInEnv(t *testing.T) {
	for env, want := range map[string]bool{
		"BERTH_LEASE=a/1": true, "BERTH_LEASE=a/12": false, "BERTH_LEASE=a/1 b/2": false, "X=1,BERTH_LEASE=a/1": true,
		"BERTH_LEASE=a/1,BERTH_LEASES=a/1 b/2": true, "BERTH_LEASES=b/2 a/1,BERTH_LEASE=b/2": true,
		"BERTH_LEASE=b/2,BERTH_LEASES=b/2 a/12": false, "BERTH_LEASES=a/1": false, "BERTH_LEASE=c/3,BERTH_LEASES=b/2 a/1": false,
		"BERTH_LEASE": false, "BERTH_LEASER=a/1": false, "": false,
	} {
		if got := InEnv(strings.Split(env, ","), "a/1"); got != want {
			t.Errorf("%q: %t", env, got)
		}
	}
}

// TestEnvIDs: what an older berth has left in BERTH_LEASES does not count.
func TestEnvIDs(t *testing.T) {
	for _, c := range []struct {
		one, all string
		want     []string
	}{
		{"", "a/1", nil},
		{"a/1", "", []string{"a/1"}},
		{"a/1", "a/1", []string{"a/1"}},
		{"b/2", "b/2 a/1", []string{"b/2", "a/1"}},
		{"c/3", "b/2 a/1", []string{"c/3"}},
	} {
		if got := EnvIDs(c.one, c.all); !slices.Equal(got, c.want) {
			t.Errorf("%q, %q: got %q", c.one, c.all, got)
		}
	}
}
