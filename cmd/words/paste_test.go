package words

import (
	"strings"
	"testing"
)

// TestInSameStore: what a hint says can be pasted, and then is about the store that was
// named; a password is in none.
func TestInSameStore(t *testing.T) {
	for _, c := range []struct{ flags, text, want string }{
		{"--pool=ci", "berth ls ci", "berth ls ci"},
		{"--store=/a b", "berth ls ci", "berth ls --store '/a b' ci"},
		{"--store=/it's", "berth ls", `berth ls --store '/it'\''s'`},
		{"--store=-x", "berth ls", "berth ls --store=-x"},
		{"--store=/a|--store-owner=me", "berth stop --pool p", "berth stop --store /a --store-owner me --pool p"},
		{"--store=redis://me:secret@box:1/2", "berth ls p", "berth ls --store redis://me@box:1/2 p"},
		{"--store=redis://:secret@box:x/2", "berth ls p", "berth ls p"}, // it cannot be read
		{"--store=me:secret@box", "berth ls p", "berth ls p"},
		{"--store=/a", "a smaller weight, or for all callers: berth limit p 3", "a smaller weight, or for all callers: berth limit --store /a p 3"},
		{"--store=/a", "berth limit POOL 5, or berth limit -p 5 for it", "berth limit --store /a POOL 5, or berth limit --store /a -p 5 for it"},
		{"--store=/a", "because 'berth limit p' says so", "because 'berth limit --store /a p' says so"},
		{"--store=/a", "see 'berth ls'", "see 'berth ls'"},
		{"--store=/a", "berth run -- sh -c 'berth ls p; x: berth ls'", "berth run --store /a -- sh -c 'berth ls p; x: berth ls'"},
		{"--store=/a", "berth run --help", "berth run --help"},
		{"--store=/a", "berth token check FILE", "berth token check FILE"},
		{"--store=/a", "did you mean berth ls?", "did you mean berth ls?"},
		{"--store=/a", "/berth ls", "/berth ls"},
	} {
		var line typedLine
		line.note(read(append(strings.Split(c.flags, "|"), "--", "--store=/x"), runFlags(), false))
		if got := line.inSameStore(c.text); got != c.want || strings.Contains(got, "secret") {
			t.Errorf("%s: %q is %q, want %q", c.flags, c.text, got, c.want)
		}
	}
}

func TestTypedBefore(t *testing.T) {
	for _, c := range []struct {
		typed    string
		operands int
		want     string
	}{
		{"", 0, ""},
		{"make --store x", 3, ""},
		{"-- make", 1, ""},
		{"-n 2 -- make", 1, "-n 2 "},
		{"-qn2 --label k=a;b make", 1, "-qn2 --label 'k=a;b' "},
		{"--store D -n 2 --store-owner=me make", 1, "-n 2 "},
		{"-store=D --pool=p make", 1, "--pool=p "},
		{"-p store make", 1, "-p store "},
	} {
		line := typedLine{words: strings.Fields(c.typed)}
		if got := line.before(c.operands); got != c.want {
			t.Errorf("%q: %q, want %q", c.typed, got, c.want)
		}
	}
}
