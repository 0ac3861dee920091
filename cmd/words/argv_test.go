package words

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"berth/cmd/text"
)

func flagsOfCommand(name string) []Flag {
	all := Commands()
	return all[slices.IndexFunc(all, func(c Command) bool { return c.Name == name })].Flags
}

// normal is what read makes of the words, as words again.
func normal(typed []string, known []Flag, anywhere bool) ([]string, error) {
	l := read(typed, known, anywhere)
	switch {
	case l.help:
		return []string{"--help"}, nil
	case l.err != nil:
		return nil, l.err
	}
	return append(append(l.flags, "--"), l.operands...), nil
}

// TestNormal: what is typed, and what it means.
func TestNormal(t *testing.T) {
	for _, c := range []struct{ command, typed, want string }{
		// the usual ways
		{"run", "-n 2 -p build -- make test", "--slots=2 --pool=build -- make test"},
		{"run", "--slots 2 --pool=build make -j 4", "--slots=2 --pool=build -- make -j 4"},
		{"run", "make", "-- make"},
		{"run", "", "--"},
		{"run", "--", "--"},
		{"run", "-- -- x", "-- -- x"},
		{"run", "- -n 2", "-- - -n 2"},
		{"run", "x -- -n 2", "-- x -- -n 2"},
		{"run", "-pool x -slots=3 y", "--pool=x --slots=3 -- y"},

		// attached values and clusters
		{"run", "-n2 make", "--slots=2 -- make"},
		{"run", "-n=2 make", "--slots=2 -- make"},
		{"run", "-n50% make", "--slots=50% -- make"},
		{"run", "-n-1 make", "--slots=-1 -- make"},
		{"run", "-pfoo make", "--pool=foo -- make"},
		{"run", "-qn 2 make", "--quiet=true --slots=2 -- make"},
		{"run", "-qn2 make", "--quiet=true --slots=2 -- make"},
		{"run", "-qvn2 make", "--quiet=true --verbose=true --slots=2 -- make"},
		{"run", "-vpqn make", "--verbose=true --pool=qn -- make"},
		{"stop", "-pci", "--pool=ci --"},
		{"run", "-pstore make", "--pool=store -- make"},
		{"run", "-qpexec make", "--quiet=true --pool=exec -- make"},

		// values
		{"run", "--label a=b=c --label=d= x", "--label=a=b=c --label=d= -- x"},
		{"run", "--priority -5 x", "--priority=-5 -- x"},
		{"run", "--wait -.5s x", "--wait=-.5s -- x"},
		{"run", "--gate=-x x", "--gate=-x -- x"},
		{"run", "-p= x", "--pool= -- x"},
		{"run", "-q=false x", "--quiet=false -- x"},
		{"run", "-q --quiet x", "--quiet=true --quiet=true -- x"},

		// flags behind operands, but for run
		{"ls", "p --json", "--json=true -- p"},
		{"ls", "p -- --json", "-- p --json"},
		{"ls", "help", "-- help"},
		{"limit", "p -1", "-- p -1"},
		{"limit", "p 3 --max-cpu 80%", "--max-cpu=80% -- p 3"},

		// help
		{"run", "--help make", "--help"},
		{"run", "-h", "--help"},
		{"run", "-qh", "--help"},
		{"run", "-p --help", "--help"},
		{"run", "--nope --help", "--help"},
		{"run", "make --help", "-- make --help"},
		{"run", "-- --help", "-- --help"},
		{"ls", "p --help", "--help"},
		{"ls", "-- --help", "-- --help"},
	} {
		got, err := normal(strings.Fields(c.typed), flagsOfCommand(c.command), c.command != "run")
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("berth %s %s: %q, %v; want %q", c.command, c.typed, got, err, c.want)
		}
	}
}

// TestNormalRefuses: what would mean something else than it seems to.
func TestNormalRefuses(t *testing.T) {
	for _, c := range []struct{ command, typed, want, hint string }{
		{"run", "-p -- make", `-p needs a value, but "--" follows`, "-p takes a NAME[:K]; perhaps a variable there is not set"},
		{"run", "-p -n 1 make", `-p needs a value, but "-n" follows`, "-p takes a NAME[:K]; perhaps a variable there is not set; if -n is the value: --pool=-n"},
		{"run", "--gate -x make", `--gate needs a value, but "-x" follows`, "--gate takes a CMD; perhaps a variable there is not set; if -x is the value: --gate=-x"},
		{"run", "-p -1 make", `-p needs a value, but "-1" follows`, "-p takes a NAME[:K]; perhaps a variable there is not set; if -1 is the value: --pool=-1"},
		{"run", "-qn -p x make", `-n needs a value, but "-p" follows`, ""},
		{"run", "--wait --exec make", `--wait needs a value, but "--exec" follows`, ""},
		{"run", "-n", `-n needs a value`, ""},
		{"ls", "--store -- x", `--store needs a value, but "--" follows`, "--store takes a WHERE; perhaps a variable there is not set"},
		{"stop", "--reason -- x", `--reason needs a value, but "--" follows`, "--reason takes a TEXT; perhaps a variable there is not set"},

		{"run", "-n 1 -n 2 make", "--slots is given twice, as -n 1 and as -n 2: leave one out", ""},
		{"run", "-n 1 -n 1 make", "--slots is given twice, as -n 1 and as -n 1: leave one out", ""},
		{"run", "-n2 --slots=3 make", "--slots is given twice, as -n 2 and as --slots 3: leave one out", ""},
		{"run", "-q --quiet=false make", "--quiet is given twice, as -q and as --quiet=false: leave one out", ""},
		{"run", "--max-cpu 50% --max-cpu 80% x", "--max-cpu is given twice, as --max-cpu 50% and as --max-cpu 80%: leave one out", ""},
		{"limit", "--need cpu=1 p --need mem=1G", "--need is given twice, as --need cpu=1 and as --need mem=1G: leave one out", ""},

		{"run", "-j 4 make", "unknown flag -j", "did you mean -n, --slots?"},
		{"run", "-j4 make", "unknown flag -j4", "did you mean -n, --slots?"},
		{"run", "--jobs=4 make", "unknown flag --jobs", "did you mean -n, --slots?"},
		{"run", "--slot 4 make", "unknown flag --slot", "did you mean -n, --slots?"},
		{"run", "-N 4 make", "unknown flag -N", "did you mean -n, --slots?"},
		{"run", "-N4 make", "unknown flag -N4", "did you mean -n, --slots?"},
		{"run", "--wiat 4 make", "unknown flag --wiat", "did you mean --wait?"},
		{"run", "--timeot=4 make", "unknown flag --timeot", "did you mean --timeout?"},
		{"run", "--lable a=b make", "unknown flag --lable", "did you mean --label?"},
		{"run", "--on_busy skip make", "unknown flag --on_busy", "did you mean --on-busy?"},
		{"run", "--verb make", "unknown flag --verb", "did you mean -v, --verbose?"},
		{"run", "-pools x make", "unknown flag -pools", "did you mean -p, --pool?"},
		{"run", "-qx make", "unknown flag -qx", ""},
		{"run", "--max make", "unknown flag --max", ""}, // several
		{"run", "--frobnicate make", "unknown flag --frobnicate", ""},
		{"run", "-5 make", "unknown flag -5", ""},
		{"run", "---n make", "unknown flag ---n", ""},
		{"run", "-Ünope make", "unknown flag -Ünope", ""},
		{"ls", "--slot", "unknown flag --slot", ""}, // it has none
		{"ls", "--jsno", "unknown flag --jsno", "did you mean --json?"},
		{"run", "-q=perhaps make", `--quiet: "perhaps" is neither true nor false`, ""},
	} {
		got, err := normal(strings.Fields(c.typed), flagsOfCommand(c.command), c.command != "run")
		var hinted *HintedError
		hint := ""
		if errors.As(err, &hinted) {
			hint = hinted.Next
		}
		if err == nil || err.Error() != c.want || hint != c.hint {
			t.Errorf("berth %s %s: %q, %v, hint %q; want %q, hint %q", c.command, c.typed, got, err, hint, c.want, c.hint)
		}
	}
}

// TestFlagOfAnotherCommand: a flag that another command has is not a slip.
func TestFlagOfAnotherCommand(t *testing.T) {
	for _, c := range []struct{ typed, want, hint string }{
		{"acquire --hold tree", "unknown flag --hold", "--hold is a flag of berth run"},
		{"acquire --hold=tree --bogus", "unknown flag --hold", "--hold is a flag of berth run"},
		{"stop --timeout 1", "unknown flag --timeout", "--timeout is a flag of berth run and berth acquire"},
		{"wait -p x", "unknown flag -p", "berth wait POOL"},
		{"held --pool x", "unknown flag --pool", "berth held POOL"},
		{"release --pool x", "unknown flag --pool", ""}, // many have it
		{"release --bogus x", "unknown flag --bogus", ""},
	} {
		_, err := Parse(strings.Fields(c.typed))
		var hinted *HintedError
		hint := ""
		if errors.As(err.(*UsageError).Err, &hinted) {
			hint = hinted.Next
		}
		if err.Error() != c.want || hint != c.hint {
			t.Errorf("berth %s: %v, hint %q; want %q, hint %q", c.typed, err, hint, c.want, c.hint)
		}
	}
}

func TestCommandMeant(t *testing.T) {
	for typed, want := range map[string]string{
		"status": "ls", "list": "ls", "ps": "ls", "lst": "ls", "kill": "stop", "cancel": "stop", "kil": "stop",
		"rnu": "run", "rn": "run", "runs": "run", "sotp": "stop", "limt": "limit", "keepalives": "keepalive",
		"make": "", "r": "", "": "", "x": "", "la": "",
	} {
		if got := CommandMeant(typed, names()); got != want {
			t.Errorf("%q: %q, want %q", typed, got, want)
		}
	}
}

// TestRepeatable: what may be given more than once says so, and nothing else does.
func TestRepeatable(t *testing.T) {
	for _, c := range Commands() {
		for _, f := range c.Flags {
			if says := strings.Contains(f.Usage, "repeatable"); says != (f.Kind == List) {
				t.Errorf("berth %s --%s: its help says repeatable: %t, it is: %t", c.Name, f.Name, says, f.Kind == List)
			}
		}
	}
}

// FuzzNormal: what was read has the same meaning when it is written down and read again,
// whatever was typed; and nothing behind -- is touched.
func FuzzNormal(f *testing.F) {
	for _, s := range []string{
		"run\n-n\n2\n--\nx", "run\n-qn2\n-pfoo\n--label\na=b\n--label=c=d\nx\n-n", "ls\np\n--json", "run\n-p\n--", "run\n--help",
		"run\n-\n--", "limit\np\n-1", "run\n-n=\n--priority\n-5\n--\n--\n-h", "run\n-\xff\xfe", "stop\n-pü=\n--now\n--now=0", "run\n---\n-=x", "run\n\n-n\n\n2",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		line := strings.Split(s, "\n")
		if !slices.Contains(names(), line[0]) {
			return
		}
		name, known := line[0], flagsOfCommand(line[0])
		out, err := normal(line[1:], known, name != "run")
		if err != nil {
			if text.OneLine(err.Error()) == "" {
				t.Error("an error without a word")
			}
			return
		}
		if slices.Equal(out, []string{"--help"}) {
			return
		}
		again, err := normal(out, known, name != "run")
		if err != nil || !slices.Equal(again, out) {
			t.Fatalf("%q is %q, and that is %q, %v", line, out, again, err)
		}
		end := slices.Index(out, "--")
		if i := slices.Index(line[1:], "--"); i >= 0 && !strings.HasSuffix("\n"+strings.Join(out, "\n"), strings.Join(line[1+i+1:], "\n")) {
			t.Fatalf("%q is %q: not all that stands behind --", line, out)
		}
		for _, w := range out[:end] {
			flag, value, ok := strings.Cut(w, "=")
			if !ok || !strings.HasPrefix(flag, "--") {
				t.Fatalf("%q is %q: %q is not --name=value", line, out, w)
			}
			attached := func(word string) bool { return word != value && strings.HasSuffix(word, value) }
			if strings.HasPrefix(value, "-") && !isNegative(value) && !slices.ContainsFunc(line[1:], attached) {
				t.Fatalf("%q is %q: %q swallowed %q", line, out, flag, value)
			}
		}
	})
}
