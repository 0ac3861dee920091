package cmd

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"berth/cmd/manual"
	"berth/cmd/text"
	"berth/cmd/words"
)

const appHelp = `berth runs a command only while fewer than N of its kind are running.

Usage:
  berth run [flags] [--] COMMAND [ARG...]  run COMMAND when a slot is free
  berth acquire [flags]                    hold a slot over several commands
  berth release [LEASE]                    give it back
  berth ls [POOL...]                       show who holds, who waits, and why
  berth limit POOL [N|P%|auto|none]        show, set, remove a pool's own limit
  berth probe                              show readings and what gates say
  berth stop LEASE... | --pool P --label L end jobs with all their processes
  berth wait POOL [--fewer N | --any]      wait until it is idle, or has room
  berth doctor                             look for what may be wrong
  berth keepalive [LEASE]                  restart a job's --idle-timeout
  berth held POOL                          exit 0 inside a job of POOL, else 1
  berth token check FILE                   fail if a newer lease was granted
  berth completion bash|zsh|fish           print the shell's completion
  berth man                                print the man page
  berth version                            print the version
  berth help [COMMAND|TOPIC]               show help

Topics:
`

const appExamples = `
Examples:
  berth run -n 4 -p build -- make test            at most 4 at a time
  berth run -n auto --min-mem 2G -- ./job         while the machine has room
`

// helpOn prints the help of a command, or a topic; without a word, a list of both.
func helpOn(w io.Writer, word string) error {
	if word == "" {
		return write(w, listOfHelp())
	}
	var names []string
	for _, c := range describedAll() {
		if c.Name == word {
			return write(w, c.Help())
		}
		names = append(names, c.Name)
	}
	if topic := manual.Topic(word); topic != "" {
		return write(w, topic)
	}
	return noHelp(word, names)
}

func write(w io.Writer, page string) error {
	_, err := io.WriteString(w, page)
	return err
}

func noHelp(word string, commands []string) error {
	next := "berth help"
	if m := cmp.Or(topicMeant(word), words.CommandMeant(word, commands)); m != "" {
		next = "did you mean berth help " + m + "?"
	} else if where := words.WhereIsFlag(strings.TrimLeft(word, "-")); where != "" {
		next = where
	}
	err := fmt.Errorf("%q is neither a command (%s) nor a topic (%s)", word, strings.Join(commands, ", "), strings.Join(manual.Topics, ", "))
	return words.Mistake(words.Hinted(err, next), "berth help")
}

// topicOf is the topic that tells of something.
var topicOf = map[string]string{
	"lease": "holding", "leases": "holding",
	"replace": "scripting", "supersede": "scripting", "detach": "scripting", "detached": "scripting",
	"pools": "several", "together": "several", "deadlock": "several",
	"cron": "recipes", "crontab": "recipes", "ci": "recipes", "gpu": "recipes", "make": "recipes", "drain": "recipes",
	"redis": "stores", "etcd": "stores", "remote": "stores",
	"env": "scripting", "environment": "scripting", "exit-codes": "scripting", "exit": "scripting", "messages": "scripting",
	"docker": "sharing", "containers": "sharing", "users": "sharing",
}

// topicMeant is the topic that a word seems to stand for, "" for none.
func topicMeant(word string) string {
	for _, t := range manual.Topics {
		if word == t || text.Near(word, t) || word+"s" == t {
			return t
		}
	}
	return topicOf[word]
}

func listOfHelp() string {
	var b strings.Builder
	b.WriteString(appHelp)
	for _, t := range manual.Topics {
		fmt.Fprintf(&b, "  %-11s %s\n", t, manual.Summary(t))
	}
	b.WriteString(appExamples)
	return b.String()
}

var operands = map[string]manual.Operands{
	"run": manual.Program, "ls": manual.Pools, "limit": manual.Limit, "stop": manual.Leases, "held": manual.Pool, "wait": manual.PoolOrLease,
	"keepalive": manual.Leases, "release": manual.Acquired, "token": manual.Check, "completion": manual.Shell, "help": manual.Page,
}

// described is a command in the manual's terms.
func described(c words.Command) manual.Command {
	d := manual.Command{Name: c.Name, Usage: c.Usage, Synopsis: c.Synopsis, Description: c.Description, Operands: operands[c.Name]}
	for _, f := range c.Flags {
		d.Flags = append(d.Flags, manual.Flag{Group: cmp.Or(f.Group, "Flags"), Names: f.Names(), Value: f.Value, Usage: f.Usage, Repeat: f.Kind == words.List})
	}
	return d
}

func describedAll() []manual.Command {
	var all []manual.Command
	for _, c := range words.Commands() {
		all = append(all, described(c))
	}
	return all
}
