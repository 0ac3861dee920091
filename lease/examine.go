package lease

import "context"

// Examiner is a Store that can tell in which state that is which it lives on: a directory's
// file system, a server. What it tries leaves nothing behind.
type Examiner interface {
	Examine(ctx context.Context) []Finding
}

// Finding is one thing that was looked at.
type Finding struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	Fact   string `json:"fact"`
	Remedy string `json:"remedy"` // what to do or to type; "": nothing
}

// Status is how a finding is judged.
type Status string

const (
	OK   Status = "ok"
	Warn Status = "warn" // it works, and may not for long, or not for all
	Fail Status = "fail" // slots cannot be had, or more than N may be
)

// Good is a finding that is as it should be.
func Good(name, fact string) Finding { return Finding{Name: name, Status: OK, Fact: fact} }

// Ill is a finding that is not.
func Ill(name string, s Status, fact, remedy string) Finding { return Finding{name, s, fact, remedy} }
