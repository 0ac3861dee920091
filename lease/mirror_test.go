package lease

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestMirror holds the constants of the rule together, which redisstore has once more in
// Lua: its TestModel, which compares the rest of the rule, plays too few starts for them.
func TestMirror(t *testing.T) {
	for _, c := range []struct{ file, pattern, want string }{
		{"common.lua", `SECOND, HOUR, DAY = \S+, \S+, (\S+)\n`, fmt.Sprintf("%.0fe6", bucketKept.Seconds())},
		{"rule.lua", `if every > (.*) then starts\.slow`, "DAY * 1000"},
		{"rule.lua", `b\.asked \+ math\.max\((.*), b\.burst`, "DAY"},
		{"rule.lua", `#starts\.buckets < (\S+)`, fmt.Sprint(maxBuckets)},
		{"common.lua", `SECOND, HOUR, DAY = (\S+),`, "1e6"},
		{"rule.lua", `now - clearance\.at > (.*) then`, fmt.Sprintf("%.0f * SECOND", ClearanceTTL.Seconds())},
	} {
		text, err := os.ReadFile(filepath.Join("redisstore", c.file))
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(c.pattern).FindAllSubmatch(text, -1)
		if len(found) != 1 || string(found[0][1]) != c.want {
			t.Errorf("%s: %s is %q, want once %q, as in Go", c.file, c.pattern, found, c.want)
		}
	}
}
