package job

import "testing"

// TestExtends: a block is trusted only when it is ours, and of now.
func TestExtends(t *testing.T) {
	known := []string{"A=1", "B=2", "X"}
	for _, c := range []struct {
		raw  []string
		want bool
	}{
		{[]string{"A=1", "B=2", "X"}, true},
		{[]string{"", "A=1", "A=2", "B=2", "", "B=2", "X", ""}, true},
		{[]string{"A=1", "B=2"}, false},
		{[]string{"A=1", "B=2", "X", "Y"}, false},
		{[]string{"A=1", "B=3", "X"}, false},
		{[]string{"A=2", "A=1", "B=2", "X"}, false},
		{[]string{"C=3", "A=1", "B=2", "X"}, false},
		{nil, false},
	} {
		if got := extends(c.raw, known); got != c.want {
			t.Errorf("%q extends %v: %v", c.raw, known, got)
		}
	}
}
