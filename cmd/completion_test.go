//go:build linux

package cmd

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// completions are lines, and what the shells are to make of the last word. A * stands
// for the hexadecimal part of a lease's id.
var completions = []struct{ line, want string }{
	{"berth comp", "completion"},
	{"berth run --on-", "--on-busy --on-lost"},
	{"berth run --on st", "start= stop="},
	{"berth run --on=sto", "--on=stop="},
	{"berth run --job tr", "train"},
	{"berth wait d", "demo"},
	{"berth wait demo/", "demo/*"},
	{"berth run --on-busy ", "fail replace run skip"},
	{"berth run --on-busy=s", "--on-busy=skip"},
	{"berth run --on-busy skip --on-", "--on-lost"},
	{"berth run -p d", "demo"},
	{"berth ls d", "demo"},
	{"berth ls --store other ", ""},
	{"berth stop d", "demo/*"},
	{"berth limit demo n", "none"},
	{"berth help fa", "failures"},
	{"berth completion z", "zsh"},
	{"berth token check onlyf", "onlyfile"},
	{"berth run -n 2 -- onlyc", "onlycommand"},
	{"berth run -qn2 -- onlycommand onlyf", "onlyfile"},
}

// TestCompletion has each shell complete lines, by its own machinery.
func TestCompletion(t *testing.T) {
	t.Parallel()
	for shell, start := range map[string]func(*testing.T, string) func(string) string{
		"bash": openBash, "zsh": openZsh, "fish": openFish,
	} {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(shell); err != nil {
				t.Skipf("no %s here", shell)
			}
			dir := completionDir(t)
			complete := start(t, dir)
			for _, c := range completions {
				got := completed(complete, c.line)
				for range 20 { // a store that answers late is left out
					if got == c.want || !strings.HasPrefix(c.want, "demo") {
						break
					}
					got = completed(complete, c.line)
				}
				if got != c.want {
					t.Errorf("%q: completed to %q, want %q", c.line, got, c.want)
				}
			}
			if _, err := os.Stat(filepath.Join(dir, "other")); err == nil {
				t.Error("completion has made a store")
			}
		})
	}
}

func completed(complete func(string) string, line string) string {
	got := strings.Fields(complete(line))
	slices.Sort(got)
	for i, w := range got {
		if pool, hex, ok := strings.Cut(w, "/"); ok && len(hex) == 12 {
			got[i] = pool + "/*"
		}
	}
	return strings.Join(got, " ")
}

// completionDir has a store with a job in the pool demo, and what else is completed.
func completionDir(t *testing.T) string {
	dir := t.TempDir()
	for _, d := range []string{"store", "bin"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, mode := range map[string]os.FileMode{"onlyfile": 0o600, "bin/onlycommand": 0o700} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	job := exec.Command("berth", "run", "-p", "demo", "--job", "train", "--", "cat")
	job.Dir, job.Env = dir, completionEnviron(dir)
	in, err := job.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := job.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := job.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); _ = job.Wait() })
	_, _ = in.Write([]byte("x"))
	if _, err := out.Read(make([]byte, 1)); err != nil { // it runs
		t.Fatal(err)
	}
	return dir
}

func completionEnviron(dir string) []string {
	return append(os.Environ(), "BERTH_STORE="+filepath.Join(dir, "store"), "HOME="+dir, "ZDOTDIR="+dir, "INPUTRC=/dev/null",
		"XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir, "TERM=dumb", "GORACE=atexit_sleep_ms=0", "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))
}

// openBash and openZsh start a shell at a terminal in which Tab inserts all
// completions, and ^G writes the line to a file and empties it.
func openBash(t *testing.T, dir string) func(string) string {
	rc := `PS1='ready> '
source <(berth completion bash)
bind '"\t": insert-completions'
bind -x '"\C-g": printf "%s\n" "$READLINE_LINE" >line.new; mv line.new line; READLINE_LINE='
`
	return openCompleting(t, dir, ".bashrc", rc, "bash", "--noprofile", "--rcfile", ".bashrc", "-i")
}

func openZsh(t *testing.T, dir string) func(string) string {
	rc := `PS1='ready> '
autoload -Uz compinit && compinit -u -D
source <(berth completion zsh)
zle -C all complete-word _generic
zstyle ':completion:all::::' completer _all_matches _complete
zstyle ':completion:all:*' insert yes
bindkey '^I' all
tell() { print -r -- $BUFFER >line.new; mv line.new line; BUFFER= }
zle -N tell
bindkey '^G' tell
`
	return openCompleting(t, dir, ".zshrc", rc, "zsh", "-d", "-i")
}

func openCompleting(t *testing.T, dir, file, rc, shell string, args ...string) func(string) string {
	if err := os.WriteFile(filepath.Join(dir, file), []byte(rc), 0o600); err != nil {
		t.Fatal(err)
	}
	master, slave := openPTY(t)
	c := exec.Command(shell, args...)
	c.Dir, c.Env = dir, completionEnviron(dir)
	c.Stdin, c.Stdout, c.Stderr = slave, slave, slave
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	screen := make(chan []byte, 1)
	ready := make(chan struct{})
	go func() {
		var seen []byte
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			was := strings.Contains(string(seen), "ready> ")
			seen = append(seen, buf[:n]...)
			if !was && strings.Contains(string(seen), "ready> ") {
				close(ready)
			}
			if err != nil {
				screen <- seen
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		master.Close()
		if seen := <-screen; t.Failed() {
			t.Logf("on the screen of %s:\n%q", shell, seen)
		}
	})
	select {
	case <-ready:
	case <-time.After(deadline):
		t.Fatalf("%s shows no prompt", shell)
	}
	return func(line string) string {
		if _, err := master.WriteString(line + "\t\a"); err != nil {
			t.Fatal(err)
		}
		return strings.TrimPrefix(lineIn(t, filepath.Join(dir, "line")), line[:strings.LastIndexByte(line, ' ')+1])
	}
}

// lineIn is the content of a file as soon as it exists; it is removed.
func lineIn(t *testing.T, path string) string {
	for end := time.Now().Add(deadline); ; time.Sleep(3 * time.Millisecond) {
		if b, err := os.ReadFile(path); err == nil {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		if time.Now().After(end) {
			t.Fatal("the shell did not complete the line in time")
		}
	}
}

func openFish(t *testing.T, dir string) func(string) string {
	return func(line string) string {
		c := exec.Command("fish", "--no-config", "-c", "berth completion fish | source; complete -C "+`"$argv"`, line)
		c.Dir, c.Env = dir, completionEnviron(dir)
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		var found []string
		for l := range strings.Lines(string(out)) {
			word, _, _ := strings.Cut(strings.TrimSpace(l), "\t")
			found = append(found, word)
		}
		return strings.Join(found, " ")
	}
}
