package tty

import (
	"os"
	"syscall"
)

// The signals that Unix has and this system has not; nothing delivers them.
const (
	TSTP = syscall.Signal(0x100 + iota)
	STOP
	CONT
	WINCH
	USR1
	USR2
	TTIN
	TTOU
)

const canCatch = false

var BeforeStart, AfterStart []os.Signal

type Terminal struct{}

func NewTerminal() Terminal               { return Terminal{} }
func (Terminal) Exists() bool             { return false }
func (Terminal) Sent(syscall.Signal) bool { return false }

type Stderr struct{}

func (Stderr) Write(b []byte) (int, error) { return os.Stderr.Write(b) }

func Foreground() bool                   { return false }
func CanDraw(int) bool                   { return true }
func IsTerminal(int) bool                { return false }
func WindowSize(int) (columns, rows int) { return 0, 0 }
func SuspendSelf()                       {}
func Die(syscall.Signal)                 {}
