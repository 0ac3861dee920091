//go:build unix

package cmd

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the test binary be the programs that the scripts run: berth
// itself, and job, which records what happens to it.
func TestMain(m *testing.M) {
	testscript.Main(tests{m}, map[string]func(){
		"berth": func() { os.Exit(Main(os.Args).End()) },
		"job":   func() { os.Exit(actAsJob(os.Args[1:])) },
	})
}

// tests are all tests of a run, and what is to be done after them.
type tests struct{ *testing.M }

func (t tests) Run() int {
	code := t.M.Run()
	for _, f := range afterTests {
		f()
	}
	return code
}

var afterTests []func()
