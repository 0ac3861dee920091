package cmd

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"berth/cmd/manual"
	"berth/cmd/open"
	"berth/cmd/storename"
	"berth/cmd/text"
	"berth/cmd/words"
	"berth/lease"
)

func complete(typed []string) error {
	if len(typed) > 0 && typed[0] == "next" {
		return printNext(os.Stdout, typed[1:])
	}
	shells := text.Or(manual.Shells)
	switch {
	case len(typed) == 0:
		return words.Usagef("berth completion", "no shell named: %s", shells)
	case len(typed) > 1:
		return words.Usagef("berth completion", "takes one shell, got %d", len(typed))
	case !slices.Contains(manual.Shells, typed[0]):
		return words.Usagef("berth completion", "unknown shell %q: %s", typed[0], shells)
	}
	return write(os.Stdout, manual.Completion(typed[0]))
}

// printNext prints how the last of these words, which begin with berth, may be completed: the
// kind, for another command's line the word that it begins at, and then a word with its
// summary in each line.
func printNext(w io.Writer, typed []string) error {
	next := manual.Next{Kind: manual.Words}
	begins := len(typed) - 1
	switch last := len(typed) - 1; {
	case last == 1:
		next = manual.Commands(typed[last], describedAll())
	case last > 1:
		before := words.ReadUnfinished(typed[1:last])
		begins -= len(before.Operands)
		next = manual.Complete(manual.Line(before), typed[last], describedAll(), func(what manual.Operands) []manual.Word {
			where, err := before.Store()
			if err != nil {
				return nil
			}
			return lookUpWords(what, where)
		})
	}
	var b strings.Builder
	b.WriteString(string(next.Kind))
	if next.Kind == manual.Elsewhere {
		fmt.Fprintf(&b, " %d", begins)
	}
	b.WriteString("\n")
	for _, word := range next.Words {
		fmt.Fprintf(&b, "%s\t%s\n", word.Text, text.Shorten(text.OneLine(word.Summary), 60))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// lookUpLimit is how long someone who has pressed Tab waits for a store.
const lookUpLimit = 2 * time.Second

// lookUpWords finds the pools, the leases or the jobs of a store, none if it does not answer in
// time. It makes no store and says nothing.
func lookUpWords(what manual.Operands, where storename.Spec) []manual.Word {
	found := make(chan []manual.Word, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), lookUpLimit)
		defer cancel()
		st, err := open.Open(where, newSpeaker(true, false).opening(false))
		if err != nil {
			found <- nil
			return
		}
		pools, _ := st.List(ctx) // some could be read
		found <- wordsOf(pools, what)
	}()
	select {
	case list := <-found:
		return list
	case <-time.After(lookUpLimit):
		return nil
	}
}

// wordsOf are the names of pools, leases or jobs. A forged record may have none.
func wordsOf(pools []lease.Pool, what manual.Operands) (list []manual.Word) {
	for _, p := range pools {
		if what == manual.Pools {
			if lease.CheckPool(p.Name) == nil {
				list = append(list, manual.Word{Text: p.Name, Summary: fmt.Sprintf("%d in use, %d waiting", p.Used, len(p.Waiters))})
			}
			continue
		}
		for _, e := range append(p.Holders, p.Waiters...) {
			if word := wordOf(e, what); word != "" && !slices.ContainsFunc(list, func(w manual.Word) bool { return w.Text == word }) {
				list = append(list, manual.Word{Text: word, Summary: summary(e)})
			}
		}
	}
	return list
}

// wordOf is what names a job or a waiter, "" for nothing that could be typed.
func wordOf(e lease.Entry, what manual.Operands) string {
	switch id := e.ID(); {
	case what == manual.Jobs:
		if name := e.Request().Job; text.Quoted([]string{name})[0] == name {
			return name
		}
	case words.IsID(id) && (what == manual.Leases || e.Lease != nil && e.Lease.Kept):
		return id
	}
	return ""
}

func summary(e lease.Entry) string {
	if e.Lease != nil {
		return string(e.Lease.State) + ": " + text.CommandLine(e.Lease.Command)
	}
	return "waiting: " + text.CommandLine(e.Ticket.Command)
}
