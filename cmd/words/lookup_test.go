package words

import (
	"strings"
	"testing"

	"berth/cmd/text"
)

// TestShellWords: a shell makes of the hint's line what it makes of the line typed.
func TestShellWords(t *testing.T) {
	for _, c := range []struct {
		argv []string
		want string
	}{
		{[]string{"echo hi"}, `sh -c 'echo hi'`},
		{[]string{"echo hi;", "a b"}, `sh -c 'echo hi; '\''a b'\'''`},
		{[]string{"cd", "/x y"}, `sh -c 'cd '\''/x y'\'''`},
		{[]string{"!", "true"}, `sh -c '! true'`},
		{[]string{"mine", "it's"}, `bash -c 'mine '\''it'\''\'\'''\''s'\'''`},
		{[]string{"A=1", "make"}, `env A=1 make`},
		{[]string{"A=1"}, ``},
		{[]string{"1A=1", "make"}, ``},
		{[]string{"make"}, ``},
		{[]string{"no-such"}, ``},
	} {
		got := strings.Join(text.Quoted(shellWords(c.argv, []string{"BASH_FUNC_mine%%=() { :; }"}, true)), " ")
		if got != c.want {
			t.Errorf("%q: %s, want %s", c.argv, got, c.want)
		}
	}
}
