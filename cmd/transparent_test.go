//go:build linux

package cmd

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// berthCommand is a berth with a store of its own, and no variable of ours that
// would change what it does.
func berthCommand(t *testing.T, store string, args ...string) *exec.Cmd {
	t.Helper()
	_ = os.Mkdir(store, 0o700) // or berth says that it made it
	c := exec.Command("berth", args...)
	c.Args[0] = "berth"
	c.Dir = t.TempDir()
	c.Env = slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "BERTH_") })
	c.Env = append(c.Env, "BERTH_STORE="+store, "GORACE=atexit_sleep_ms=0", "PWD="+c.Dir)
	return c
}

// must runs c, whose stderr must stay empty, and returns its stdout.
func must(t *testing.T, c *exec.Cmd) []byte {
	t.Helper()
	var out, said bytes.Buffer
	if c.Stdout == nil {
		c.Stdout = &out
	}
	c.Stderr = &said
	if err := c.Run(); err != nil || said.Len() > 0 {
		t.Fatalf("%v: %v\n%s", c.Args, err, said.Bytes())
	}
	return out.Bytes()
}

func TestArgumentsArriveByteForByte(t *testing.T) {
	t.Parallel()
	const vectors = 200
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	store := filepath.Join(t.TempDir(), "store")
	type vector struct {
		args   []string
		dashes bool
	}
	work := make(chan vector)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for v := range work {
				file := filepath.Join(t.TempDir(), "args")
				words := []string{"run", "-n", "4", "-p", "args"}
				if v.dashes {
					words = append(words, "--")
				}
				c := berthCommand(t, store, append(append(words, "job", "args", file), v.args...)...)
				if out, err := c.CombinedOutput(); err != nil || len(out) > 0 {
					t.Errorf("%q: %v\n%s", v.args, err, out)
					continue
				}
				got, err := os.ReadFile(file)
				want := strings.Join(append(slices.Clone(v.args), ""), "\x00")
				if err != nil || string(got) != want {
					t.Errorf("%v\n got %q\nwant %q", err, got, want)
				}
			}
		})
	}
	for range vectors {
		work <- vector{randomArgs(r), r.IntN(2) == 0}
	}
	close(work)
	wg.Wait()
}

func randomArgs(r *rand.Rand) []string {
	pieces := []string{
		"", " ", "\n", "\t", "'", `"`, `\`, "`", "$HOME", "$(id)", "*", "?", "~", "-", "--", "-n", "--pool=x", "=", ",",
		"a", "word", "é", "試験", "\x01", "\x1b[31m", "\x7f", "\x80", "\xff\xfe", "\xc3", "\xed\xa0\x80", "%s", "!", "#", ";", "&", "|", "\r",
	}
	args := make([]string, r.IntN(12))
	for i := range args {
		switch r.IntN(8) {
		case 0:
			args[i] = pieces[r.IntN(len(pieces))]
		case 1:
			b := make([]byte, r.IntN(2000))
			for j := range b {
				b[j] = byte(1 + r.IntN(255))
			}
			args[i] = string(b)
		default:
			for range r.IntN(6) {
				args[i] += pieces[r.IntN(len(pieces))]
			}
		}
	}
	return args
}

func TestStdinPassesUnchanged(t *testing.T) {
	t.Parallel()
	const size = 100 << 20
	want, got := sha256.New(), sha256.New()
	source := io.TeeReader(io.LimitReader(rand.NewChaCha8([32]byte{7}), size), want)
	c := berthCommand(t, filepath.Join(t.TempDir(), "store"), "run", "--", "cat")
	c.Stdin = source
	n := int64(0)
	c.Stdout = writerFunc(func(b []byte) (int, error) {
		n += int64(len(b))
		return got.Write(b)
	})
	must(t, c)
	if n != size || !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
		t.Errorf("%d of %d bytes arrived, or others", n, size)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func TestEnvironmentIsTheCallers(t *testing.T) {
	store := filepath.Join(t.TempDir(), "store")
	env := []string{
		"PATH=" + os.Getenv("PATH"), "GORACE=atexit_sleep_ms=0", "BERTH_STORE=" + store,
		"EMPTY=", "SPACES= a  b ", "NEWLINE=a\nb", "EQUALS=a=b=c", "BYTES=\xff\xfe\x80", "=ODD=1", "NOVALUE", "lower=x", "BERTHOLD=mine", "BERTH_OF_MINE=x",
	}
	for _, words := range [][]string{
		{"run", "-n", "3", "-p", "env", "--label", "k=v w", "--timeout", "1m"},
		{"run", "-n", "3", "-p", "env", "--label", "k=v w", "--exec"},
	} {
		c := berthCommand(t, store, append(words, "--", "cat", "/proc/self/environ")...)
		c.Env = env
		var got []string
		told := map[string]string{}
		for e := range strings.SplitSeq(strings.TrimSuffix(string(must(t, c)), "\x00"), "\x00") {
			k, v, _ := strings.Cut(e, "=")
			if strings.HasPrefix(e, "BERTH_") && k != "BERTH_OF_MINE" {
				told[k] = v
			} else {
				got = append(got, e)
			}
		}
		want := slices.DeleteFunc(slices.Clone(env), func(e string) bool { return strings.HasPrefix(e, "BERTH_STORE=") })
		if !slices.Equal(got, want) {
			t.Errorf("%v: the child has\n%q\nits caller\n%q", words, got, want)
		}
		names := []string{"BERTH_LABEL_k", "BERTH_LEASE", "BERTH_LEASES", "BERTH_LIMIT", "BERTH_POOL", "BERTH_SLOT", "BERTH_SLOTS", "BERTH_STORE", "BERTH_TOKEN"}
		if slices.Contains(words, "--timeout") {
			names = append(names, "BERTH_DEADLINE")
		}
		slices.Sort(names)
		if had := slices.Sorted(maps.Keys(told)); !slices.Equal(had, names) {
			t.Errorf("%v: told are %v, documented %v", words, had, names)
		}
		if told["BERTH_LABEL_k"] != "v w" || told["BERTH_POOL"] != "env" || told["BERTH_LIMIT"] != "3" || told["BERTH_STORE"] != store {
			t.Errorf("%v: told %v", words, told)
		}
	}
}

// A socket keeps working through berth in both directions, and is closed for
// good when the child ends: berth keeps no copy that would hold it open.
func TestSocketEndsWithTheChild(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	theirs, f := os.NewFile(uintptr(pair[0]), "theirs"), os.NewFile(uintptr(pair[1]), "ours")
	ours, err := net.FileConn(f)
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	c := berthCommand(t, filepath.Join(t.TempDir(), "store"), "run", "--", "sh", "-c", "read word <&5; echo got $word >&5")
	c.ExtraFiles = []*os.File{nil, nil, theirs}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	if _, err := ours.Write([]byte("this\n")); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(ours)
	if string(b) != "got this\n" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	var exit *exec.ExitError
	if err := c.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	} else if err != nil {
		t.Error(err)
	}
}
