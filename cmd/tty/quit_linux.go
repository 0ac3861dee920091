package tty

import (
	"os"
	"os/signal"
	"syscall"
)

// DieOfQuit has a SIGQUIT (Ctrl-\) end this process without a word, for one that does not
// catch it, and that holds nothing. The runtime would print its goroutines and exit with 2.
func DieOfQuit() {
	if signal.Ignored(syscall.SIGQUIT) {
		return
	}
	quit := make(chan os.Signal, 1)
	signal.Notify(quit, syscall.SIGQUIT)
	go func() {
		<-quit
		Die(syscall.SIGQUIT)
	}()
}
