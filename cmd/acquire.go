package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"berth/cmd/handover"
	"berth/cmd/words"
	"berth/procwatch"
)

// acquire is 'berth acquire' twice: the front, and the keeper that it starts.
func acquire(r *words.Acquire) (int, error) {
	if handover.IsBack() {
		k := &keeper{claim: newClaim(&r.Line), spec: r}
		return codeOK, k.run(context.Background())
	}
	return front(r)
}

// front has the keeper take the slot, prints what the keeper says, and exits. It opens no
// store: the keeper is the owner of its ticket and of its lease from the first moment.
func front(r *words.Acquire) (int, error) {
	if r.Detach && handover.Unheard() {
		return 0, errors.New("standard output is closed, or /dev/null: nobody would know the lease, and nothing frees the slot before its time limit")
	}
	tied, err := tiedTo(r)
	if err != nil {
		return 0, err
	}
	return inBackground(tied, confirmed)
}

// confirmed prints what the keeper says. If that fails nobody knows the lease, and the keeper
// gives the slot back.
func confirmed(f *handover.Front, said string) error {
	if err := write(os.Stdout, said); err != nil {
		return fmt.Errorf("cannot print the lease, so its slot is given back: %w", err)
	}
	return f.Confirm()
}

// tiedTo identifies the process that the slot is for, in the words of handover's data; "" for
// none.
func tiedTo(r *words.Acquire) (string, error) {
	if r.Detach {
		return "", nil
	}
	pid := r.With
	if pid == 0 {
		pid = os.Getppid()
	}
	id, err := procwatch.Identify(pid)
	switch {
	case r.With == 0 && (err != nil || id.PID != os.Getppid()):
		return "", &noParentError{}
	case errors.Is(err, os.ErrProcessDone) || err == nil && id.State() == procwatch.Gone:
		return "", fmt.Errorf("--with %d: there is no process with that pid", pid)
	case err != nil:
		return "", fmt.Errorf("--with %d: %w", pid, err)
	}
	return fmt.Sprintf("%d %d", id.PID, id.Start), nil
}

// noParentError says that the parent, which the slot was for, is gone: a shell starts the
// commands of a pipe in processes of their own, which end with them.
type noParentError struct{}

func (*noParentError) Error() string {
	return "the process that called 'berth acquire' is gone, and the slot was for that process"
}

// exported prints, after a failure of 'berth acquire --export', what makes the shell fail that
// evaluates what is printed: eval "$(false)" is a success there.
func exported(args []string, o Outcome) Outcome {
	if o.Code != codeOK && exports(args) && !handover.IsBack() {
		_ = write(os.Stdout, fmt.Sprintf("(exit %d)\n", o.Code))
	}
	return o
}

func exports(args []string) bool {
	args = args[min(1, len(args)):]
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 || args[0] != "acquire" {
		return false
	}
	for _, a := range args[1:] {
		if on, ok := strings.CutPrefix(a, "--export"); ok && (on == "" || on == "=true") {
			return true
		}
	}
	return false
}
