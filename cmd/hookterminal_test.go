//go:build linux

package cmd

import (
	"testing"
	"time"
)

// TestTerminalHooks: while berth waits for its last hooks, Ctrl-Z suspends it and Ctrl-C ends the
// hook that runs. A Ctrl-C that ends the job, and the shell's loop, leaves the hooks alone.
func TestTerminalHooks(t *testing.T) {
	t.Parallel()
	inShells(t, func(t *testing.T, shell string) {
		s := openTerminal(t, shell, 80)
		s.line(`berth run -p p --on 'stop=: >up; until test -e go; do sleep 0.01; done; echo "do"ne' -- sh -c 'exit 3'`)
		s.waitFor("up")
		s.inUse("p", "0 in use")
		s.keys(ctrlZ)
		s.expect("Stopped")
		s.expect(prompt)
		s.touch("go")
		s.line("fg")
		s.expect("done")
		s.code(3)

		s.line(`berth run -p p --on 'stop=trap "exit 0" TERM; until test -e never; do : >up2; sleep 0.5; done' --on 'stop=: >second' -- sh -c 'exit 4'`)
		s.waitFor("up2")
		time.Sleep(sameSignal) // a Ctrl-C within this time after the end of the job belongs to that
		s.keys(ctrlC)
		s.waitFor("second")
		s.code(4)

		s.line(`for i in 1 2 3; do berth run -p p --on 'stop=sleep 0.2; echo x >>cleaned' -- job hold a$i; done; echo "ov"er`)
		s.waitFor("a1")
		s.keys(ctrlC)
		s.waitFor("cleaned")
		s.expect(prompt)
		s.line("cat cleaned | wc -l; ls a2")
		s.expect("1")
		s.expect("a2") // which is not there
		s.expect(prompt)
	})
}
