package cmd

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// environOfChild runs berth with exactly this environment, which os/exec would tidy,
// and returns the command's.
func environOfChild(t *testing.T, env []string, words ...string) []string {
	t.Helper()
	path, err := exec.LookPath("berth")
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "environ"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p, err := os.StartProcess(path, append(append([]string{"berth"}, words...), "cat", "/proc/self/environ"), &os.ProcAttr{Env: env, Files: []*os.File{nil, out, out}})
	if err != nil {
		t.Fatal(err)
	}
	if st, err := p.Wait(); err != nil || !st.Success() {
		t.Errorf("%v: %v, %v", words, st, err)
	}
	b, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
}

// TestEnvironmentByteForByte: what programs in Go lose of an environment, and variables
// of ours that are the caller's own, reach the command as they were.
func TestEnvironmentByteForByte(t *testing.T) {
	store := t.TempDir()          // is there, so that nothing is said of it
	ours := func(e string) bool { // what berth tells, and so may put elsewhere
		k, _, _ := strings.Cut(e, "=")
		return slices.Contains([]string{"BERTH_LEASE", "BERTH_LEASES", "BERTH_LIMIT", "BERTH_POOL", "BERTH_SLOT", "BERTH_SLOTS", "BERTH_STORE", "BERTH_TOKEN", "BERTH_LABEL_k"}, k)
	}
	env := []string{
		"A=first", "", "PATH=" + os.Getenv("PATH"), "A=second", "", "A=first", "NOVALUE", "NOVALUE", "=ODD=1", "=ODD=2", "=", "=",
		"GORACE=atexit_sleep_ms=0", "PATH=/nowhere", "BERTH_STORE=" + store, "BERTH_STORE=/nowhere", "\xff=\xfe", "\xff=\xfd", "LONG=" + strings.Repeat("x", 50_000),
		"BERTH_LABEL_x=the caller's", "BERTH_LABEL_k=the caller's", "BERTH_DEADLINE=1", "BERTH_DEADLINE=2", "",
	}
	want := slices.DeleteFunc(slices.Clone(env), ours)
	for _, words := range [][]string{
		{"run", "-n", "3", "-p", "env", "--label", "k=v", "--"},
		{"run", "-n", "3", "-p", "env", "--label", "k=v", "--exec", "--"},
	} {
		all := environOfChild(t, env, words...)
		if !slices.Contains(all, "BERTH_LABEL_k=v") || !slices.Contains(all, "BERTH_STORE="+store) {
			t.Errorf("%v: the command is not told of its job: %q", words, all)
		}
		if got := slices.DeleteFunc(all, ours); !slices.Equal(got, want) {
			t.Errorf("%v: the command has\n%.2000q\nits caller\n%.2000q", words, got, want)
		}
	}

	// Of a job around it, its label and deadline are not the inner one's.
	got := environOfChild(t, env, "run", "-p", "outer", "--timeout", "1h", "--label", "o=1", "--",
		"env", "A=third", "berth", "run", "-p", "inner", "--")
	for _, e := range got {
		if strings.HasPrefix(e, "BERTH_LABEL_") || strings.HasPrefix(e, "BERTH_DEADLINE=") {
			t.Errorf("of the job around it there is %q", e)
		}
	}
}
