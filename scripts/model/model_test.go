package main

import (
	"io"
	"strings"
	"testing"
)

func search(t *testing.T, words string) result {
	t.Helper()
	o, err := parse(strings.Fields(words))
	if err != nil {
		t.Fatal(err)
	}
	o.traces = 0
	r := explore(o, io.Discard)
	if r.capped {
		t.Fatalf("not all states were seen: %v", r)
	}
	return r
}

// TestProtocol: small searches find nothing. Change the model with the code.
func TestProtocol(t *testing.T) {
	for _, words := range []string{
		"-P 2 -N 1 -kinds ne -kills 1",
		"-P 3 -N 2 -kinds nnl -own 1 -kills 1",
		"-P 3 -N 1 -kinds nnn -stops 1 -prefix 3",
		"-P 3 -N 1 -kinds een -held 1 -kills 1",
		"-P 3 -N 1 -kinds cen -kills 1 -prefix 3",
		"-P 4 -N 2 -kinds eenn -held 2 -stops 1 -prefix 2",
		"-P 3 -N 1 -kinds nnn -asides 1 -leaves 1 -prefix 3",
		"-P 3 -N 1 -kinds kan -kills 2",
		"-P 3 -N 1 -kinds kab -kills 2 -stops 1",
		"-P 3 -N 1 -kinds kfn -kills 1",
		"-P 2 -N 2 -kinds KA -kills 2 -stops 1",
	} {
		t.Run(words, func(t *testing.T) {
			if r := search(t, words); len(r.broken()) > 0 {
				t.Errorf("%v", r)
			}
		})
	}
}

// TestModelFinds: what is broken on purpose. A search that cannot find is worth
// nothing.
func TestModelFinds(t *testing.T) {
	for words, want := range map[string]string{
		"-P 3 -N 2 -kinds nnl -own 1 -kills 1 -mut setwakelate":            "LOST [head: 3 s]",
		"-P 3 -N 1 -kinds nnn -stops 1 -prefix 3 -mut wakelate":            "LOST while P stopped at RLCLOSE [head: 3 s]",
		"-P 3 -N 1 -kinds nnn -stops 1 -prefix 3 -mut nodraining":          "LOST while P stopped at RLCLOSE [head: 3 s]",
		"-P 4 -N 2 -kinds eenn -held 2 -stops 1 -prefix 2 -mut ticketlate": "LOST while P stopped at FORK [waits behind: 45 s]",
		"-P 3 -N 1 -kinds een -held 1 -kills 1 -mut nofollow":              "LOST [head: 3 s]",
		"-P 3 -N 1 -kinds cnn -kills 1 -prefix 3 -mut nochild":             "MORE-THAN-N: 2 jobs' slots with limit 1",
		"-P 3 -N 1 -kinds nen -mut watchnolook":                            "LOST [head: 3 s]",
		"-P 2 -N 1 -kinds ka -kills 2 -mut notshared":                      "FREED: a slot is free under a living child",
		"-P 3 -N 1 -kinds kaa -kills 1 -mut norecord":                      "MORE-THAN-N: 2 jobs' slots with limit 1",
		"-P 3 -N 1 -kinds kaa -kills 1 -mut noadopter":                     "MORE-THAN-N: 2 jobs' slots with limit 1",
		"-P 3 -N 1 -kinds kaa -kills 1 -mut notalone":                      "MORE-THAN-N: 2 jobs' slots with limit 1",
		"-P 2 -N 1 -kinds kb -kills 1 -mut notalone":                       "FREED: a slot is free under a living child",
		"-P 2 -N 1 -kinds ka -kills 1 -mut nosettle":                       "KEPT: it cannot be given back",
		"-P 3 -N 1 -kinds kan -kills 1 -stops 1 -mut adopterwakeslate":     "LOST while P stopped at ACLOSE [head: 3 s]",
		"-P 3 -N 2 -kinds KAn -kills 1 -mut nomark":                        "INDEX: says free, and a job runs there under a kept lease",
	} {
		t.Run(words, func(t *testing.T) {
			if r := search(t, words); r.found[want] == 0 {
				t.Errorf("no %q in %v", want, r)
			}
		})
	}
}
