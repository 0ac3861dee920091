//go:build unix

package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"berth/cmd/view"
)

func poolOf(ts *testscript.TestScript, name string) (p view.Pool) {
	path, err := lookPath(ts, "berth")
	ts.Check(err)
	c := exec.Command(path, "ls", "--json", name)
	c.Args[0] = "berth"
	c.Env = environOf(ts)
	out, err := c.Output()
	ts.Check(err)
	var pools []view.Pool
	ts.Check(json.Unmarshal(out, &pools))
	return pools[0]
}

func cmdHolders(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: holders POOL N [STATE]")
	}
	until(ts, "holders "+strings.Join(args, " "), func() bool {
		n := 0
		for _, h := range poolOf(ts, args[0]).Holders {
			if len(args) == 2 || string(h.State) == args[2] {
				n++
			}
		}
		return strconv.Itoa(n) == args[1]
	})
}

func cmdWaiters(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: waiters POOL N")
	}
	until(ts, "waiters "+strings.Join(args, " "), func() bool {
		n := 0
		for _, w := range poolOf(ts, args[0]).Waiters {
			if w.Place > 0 {
				n++
			}
		}
		return strconv.Itoa(n) == args[1]
	})
}

func cmdAside(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: aside POOL N")
	}
	until(ts, "aside "+strings.Join(args, " "), func() bool {
		n := 0
		for _, w := range poolOf(ts, args[0]).Waiters {
			if w.Place == 0 {
				n++
			}
		}
		return strconv.Itoa(n) == args[1]
	})
}

func cmdCrowd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: crowd N TIMES CMD [ARG...]")
	}
	callers, err := strconv.Atoi(args[0])
	ts.Check(err)
	times, err := strconv.Atoi(args[1])
	ts.Check(err)
	path, err := lookPath(ts, args[2])
	ts.Check(err)
	env, dir := environOf(ts), ts.MkAbs(".")
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	run := func(caller int) error {
		for range times {
			c := exec.CommandContext(ctx, path)
			c.WaitDelay = deadline // a job that outlives its berth has the pipe
			for _, a := range args[2:] {
				c.Args = append(c.Args, strings.ReplaceAll(a, "{}", strconv.Itoa(caller)))
			}
			c.Args = c.Args[1:] // without the path
			c.Dir, c.Env = dir, env
			var said bytes.Buffer
			c.Stderr = &said
			if err := c.Run(); err != nil || longWait.ReplaceAllString(said.String(), "") != "" {
				return fmt.Errorf("caller %d: %v; it said: %s", caller, err, &said)
			}
		}
		return nil
	}
	failed := make(chan error, callers)
	for i := range callers {
		go func() { failed <- run(i) }()
	}
	for range callers {
		if e := <-failed; e != nil {
			err = errors.Join(err, e)
		}
	}
	ts.Check(err)
}

func cmdIDOf(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 || len(args) > 4 {
		ts.Fatalf("usage: idof VAR holder|waiter POOL [N]")
	}
	nth := 1
	if len(args) == 4 {
		n, err := strconv.Atoi(args[3])
		ts.Check(err)
		nth = n
	}
	var ids []string
	p := poolOf(ts, args[2])
	for _, h := range p.Holders {
		if args[1] == "holder" {
			ids = append(ids, h.Lease)
		}
	}
	for _, w := range p.Waiters {
		if args[1] == "waiter" {
			ids = append(ids, w.Lease)
		}
	}
	if len(ids) < nth {
		ts.Fatalf("pool %s has %d of a %s", args[2], len(ids), args[1])
	}
	ts.Setenv(args[0], ids[nth-1])
}
